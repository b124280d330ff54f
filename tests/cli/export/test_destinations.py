"""Tests of destinations of exports: terminals, and the names of files."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.destinations import encoding, file_stem, index_row, to_bundle, to_standard_output
from moonpalace_cli.export.formats import FORMATS


class Terminal(io.TextIOWrapper):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        """Tell that it is a terminal."""
        return True


@pytest.mark.parametrize(
    ("name", "coding", "text", "shown"),
    [
        ("json", "utf-8", '"中\x1b"', '"中\\u001b"\n'),
        ("json", "ascii", '"🚀"', '"\\ud83d\\ude80"\n'),
        ("python", "ascii", "'🚀'", "'\\U0001f680'\n"),
        ("python", "utf-8", "'🚀\t'", "'🚀\t'\n"),
        ("report", "utf-8", "a\x1b[31m", "a\\u001b[31m\n"),
        ("report", "ascii", "中", "\\u4e2d\n"),
    ],
)
def test_terminals(
    call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch, name: str, coding: str, text: str, shown: str
) -> None:
    """A terminal gets what it can show: JSON and Python stay valid; a report cannot control it."""
    written = io.BytesIO()
    terminal = Terminal(written, encoding=coding, newline="\n")
    monkeypatch.setattr("sys.stdout", terminal)
    assert encoding(FORMATS[name], printed=True) == (coding if name == "python" else "utf-8")
    with to_standard_output(FORMATS[name], many=False) as put:
        put(call(), text)
    terminal.flush()
    assert written.getvalue().decode(coding) == shown


@pytest.mark.parametrize(
    ("changes", "stem"),
    [
        ({}, "chatcmpl-00000001"),
        ({"chatcmpl_id": None}, "req-00000001-aaaa-bbbb"),
        ({"chatcmpl_id": "../a", "id": 7}, "_a"),
        ({"chatcmpl_id": "..", "msh_request_id": None, "id": 7}, "moonpalace-7"),
    ],
)
def test_stems(exchange: Callable[..., Exchange], changes: dict[str, Any], stem: str) -> None:
    """A file has the documented name, and is never outside its folder."""
    assert file_stem(exchange(**changes)) == stem


def test_index_is_no_name_of_a_call(call: Callable[..., Call], tmp_path: Path) -> None:
    """A call whose id is `index` does not replace the index, and two calls with one id have two files."""
    with to_bundle(FORMATS["json"], tmp_path / "x.zip") as put:
        for number in (1, 2):
            put(call(id=number, chatcmpl_id="index"), "{}")
    with zipfile.ZipFile(tmp_path / "x.zip") as bundle:
        assert bundle.namelist() == ["index-1.json", "index-2.json", "index.json"]
        assert [row["file"] for row in json.loads(bundle.read("index.json"))] == ["index-1.json", "index-2.json"]


def test_index_row(call: Callable[..., Call]) -> None:
    """The index identifies calls without opening their files."""
    row = index_row("a.json", call(tags=("t",), category="badcase"))
    assert (row["file"], row["id"], row["status"], row["state"]) == ("a.json", 1, 200, "completed")
    assert (row["model"], row["category"], row["tags"]) == ("kimi-k3", "badcase", ["t"])
    assert row["requested_at"] == "2026-11-23T01:27:02.000+08:00"
