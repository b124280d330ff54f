"""Tests of the columns of `mpal list`."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import inspect

from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import NAMES, Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire.json_text import Json
from moonpalace_cli.views.listing import columns
from moonpalace_cli.views.listing.listed import Listed
from tests.cli.conftest import Store
from tests.tables import for_each


def test_every_stored_field_is_a_column() -> None:
    """Every stored field of a call can be shown, under its own name."""
    assert set(NAMES) - columns.BY_NAME.keys() == set()


def test_every_column_of_the_view_is_a_column(store: Store) -> None:
    """The columns of the documented view can be shown; its `request_id` is displayed under another name."""
    with store.engine.connect() as connection:
        names = {column["name"] for column in inspect(connection).get_columns("moonshot_requests")}
    assert names
    assert names - columns.BY_NAME.keys() == set()


@for_each("name", list(columns.BY_NAME))
def test_every_column_works(exchange: Callable[..., Exchange], name: str) -> None:
    """Each column has a cell and a valid JSON value, for a complete call and for one with little data."""
    (column,) = columns.chosen([name])
    whole = Listed(exchange(), ("a", "b"), Bodies(b'{"a": 1}', b"answer", None))
    for call in (whole, Listed(exchange(refused=True)), Listed(exchange(refused=True), (), Bodies(None, None, None))):
        assert isinstance(column.cell(call), str)
        json.dumps(column.value(call), default=lambda verbatim: verbatim.text)


def test_cells(exchange: Callable[..., Exchange]) -> None:
    """The documented columns have their cells, in order; unknown values are empty."""
    call = Listed(exchange(id=7, chatcmpl_id=None))
    assert [column.cell(call) for column in columns.chosen(columns.VERBOSE)] == [
        "7",
        "https://api.moonshot.cn/v1/chat/completions",
        "POST",
        "200",
        "",
        "req-00000001-aaaa-bbbb",
        "u-test",
        "101",
        "application/json",
        "2026-11-23 01:27:02",
    ]


@for_each(
    ("name", "changes", "cell", "value"),
    [
        ("status", {"state": State.TIMED_OUT}, "timed_out", 200),
        ("model", {"model_answered": None}, "kimi-k3", "kimi-k3"),
        ("latency", {"latency": 1_676_003_000}, "1.68s", 1_676_003_000),
        ("ttft", {"time_to_first_token": 35_999_999}, "35ms", 35),
        ("response_tpot", {"time_per_output_token": 450_000}, "450us", 0),
        ("longest_stall", {"longest_stall": 2_500_000_000}, "2.50s", 2500),
        ("time_to_headers", {}, "1.2ms", 1_200_000),
        ("response_otps", {}, "4176.6035", 4176.6035),
        *[
            ("cost", {"cost": cost}, cell, cost)
            for cost, cell in ((0.4, "0.4"), (4.0, "4"), (0.0, "0"), (4e-7, "0.0000004"))
        ],
        ("tokens", {}, "18", 18),
        ("is_stream", {}, "false", False),
        ("warnings", {"warnings": ("one", "two")}, "one\ntwo", ["one", "two"]),
        ("created_at", {}, "2026-11-23 01:27:02", "2026-11-23T01:27:02.000+08:00"),
        ("error", {}, "", None),
        ("error", {"refused": True}, "connect: connection refused by 127.0.0.1:26335", None),
        ("request_header", {"request_headers": "A: b\r\nC: d\r\n"}, "A: b\nC: d", "A: b\r\nC: d\r\n"),
        ("note", {"note": "很好"}, "很好", "很好"),
    ],
)
def test_values(
    exchange: Callable[..., Exchange], name: str, changes: dict[str, object], cell: str, value: Json
) -> None:
    """Tables have readable times, JSON the numbers of the documented columns."""
    call = Listed(exchange(**changes))
    (column,) = columns.chosen([name])
    assert column.cell(call) == cell
    if not changes.get("refused"):
        assert column.value(call) == value


@pytest.mark.parametrize(
    ("bodies", "cell", "value"),
    [
        (Bodies(b'{\n "a":  1.0}', None, None), '{ "a": 1.0}', '{\n "a":  1.0}'),
        (Bodies(b"plain text", None, None), "plain text", "plain text"),
        (Bodies(b"\xff\x00", None, None), "", None),
        (Bodies(b"", None, None), "", None),
        (Bodies(b"x" * 300, None, None), "x" * 200 + "…", "x" * 300),
    ],
)
def test_bodies(exchange: Callable[..., Exchange], bodies: Bodies, cell: str, value: Json) -> None:
    """A table shows the beginning of a body in one line; JSON has all of it, and null if it is not text."""
    (column,) = columns.chosen(["request_body"])
    call = Listed(exchange(), (), bodies)
    assert column.cell(call) == cell
    result = column.value(call)
    assert getattr(result, "text", result) == value
