"""The doctor's findings as lines."""

from typing import Any

import pytest

from moonpalace_addons.store.records.runs import OpenRun
from moonpalace_addons.store.telemetry.export_state import ExportState
from moonpalace_addons.store.upkeep.health import Finding, Report
from moonpalace_addons.store.upkeep.health_rows import Run
from moonpalace_addons.store.upkeep.secret_search import Hit
from moonpalace_cli.views.diagnosis import exported, hits_text, proxy, report_text, size


@pytest.mark.parametrize(
    ("bytes_", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (184_320, "184.3 kB"),
        (2_500_000, "2.5 MB"),
        (10**12, "1,000.0 GB"),
    ],
)
def test_sizes_are_short(bytes_: int, expected: str) -> None:
    """A size has one decimal and the unit that fits."""
    assert size(bytes_) == expected


def test_report_of_a_server() -> None:
    """Data that a kind of database does not have has no line; findings come last, each with its advice."""
    report = Report("postgresql://host/name", version="1", schema="0001", size=10, rows={"completed": 2})
    report.findings.append(Finding("something is wrong", "do this"))
    assert list(report_text(report)) == [
        "database      postgresql://host/name",
        "version       MoonPalace 1, schema 0001",
        "size          10 B",
        "calls         2 completed",
        "proxies       none running",
        "backlog       none; a proxy has 32.0 MB of ended calls in memory at most, and a journal from 16.0 MB on",
        "",
        "1 wrong:",
        "  something is wrong",
        "    → do this",
    ]


def test_proxy_is_told_by_its_machine() -> None:
    """A running proxy is listed with process, machine, start and its calls in flight."""
    run = Run(OpenRun("r", "host/boot/pid:[1]", 42, False, 2_400_000), "1", 1_795_368_422_000_000, 3)
    since = "2026-11-23 01:27:02"
    assert proxy(run) == f"process 42 on host since {since}, last heartbeat 2 s ago, 3 calls under way"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "process 42: 1,234 calls taken, 3 waiting, 0 left out"),
        (
            {"left_out": 17, "problem": "refuses the connection", "problem_at": 1_795_368_422_000_000},
            "process 42: 1,234 calls taken, 3 waiting, 17 left out; last problem, at 2026-11-23 01:27:02: "
            "refuses the connection",
        ),
        (
            {"problem": "answers 503", "problem_at": 1_795_368_422_000_000, "is_over": False},
            "process 42: 1,234 calls taken, 3 waiting, 0 left out; since 2026-11-23 01:27:02: answers 503",
        ),
    ],
    ids=["sound", "over", "at present"],
)
def test_how_an_export_stands(changes: dict[str, Any], expected: str) -> None:
    """Its numbers, and the last problem, which may be over."""
    assert exported(42, ExportState("http://x", sent=1234, waiting=3, **changes)) == expected


def test_hits_are_a_table() -> None:
    """Each hit is a row; one outside of calls has no number."""
    lines = list(hits_text([Hit(None, "runs.host", "API key", "sk-9…"), Hit(3, "note", "API key", "sk-8…")]))
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")] == [
        ["id", "field", "kind", "secret"],
        ["", "runs.host", "API key", "sk-9…"],
        ["3", "note", "API key", "sk-8…"],
    ]
