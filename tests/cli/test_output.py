"""Tests of writing to terminals, pipes and files of any encoding."""

import io
import json
import sys

import pytest

from moonpalace_cli.output import make_streams_lenient, note, print_json, print_text, terminal_width, visible


class Terminal(io.TextIOWrapper):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def replace_stdout(monkeypatch: pytest.MonkeyPatch, encoding: str, *, terminal: bool) -> io.BytesIO:
    """Replace standard output by one with this encoding; return its bytes."""
    written = io.BytesIO()
    kind = Terminal if terminal else io.TextIOWrapper
    monkeypatch.setattr(sys, "stdout", kind(written, encoding=encoding, write_through=True, newline="\n"))
    make_streams_lenient()
    return written


@pytest.mark.parametrize(
    ("encoding", "terminal", "expected"),
    [
        ("utf-8", True, '"中🚀"\n'.encode()),
        ("utf-8", False, '"中🚀"\n'.encode()),
        ("gbk", True, '"中'.encode("gbk") + b'\\ud83d\\ude80"\n'),
        ("gbk", False, b'"\\u4e2d\\ud83d\\ude80"\n'),
        ("ascii", True, b'"\\u4e2d\\ud83d\\ude80"\n'),
        ("ascii", False, b'"\\u4e2d\\ud83d\\ude80"\n'),
    ],
)
def test_json_stays_json(monkeypatch: pytest.MonkeyPatch, encoding: str, terminal: bool, expected: bytes) -> None:
    """A terminal gets the characters that it has; a file is UTF-8 in any locale; others are JSON escapes."""
    written = replace_stdout(monkeypatch, encoding, terminal=terminal)
    print_json('"中🚀"')
    assert written.getvalue() == expected
    if not terminal:
        assert json.loads(written.getvalue().decode()) == "中🚀"


@pytest.mark.parametrize(
    ("encoding", "terminal", "expected"),
    [
        ("utf-8", True, "中\\u001b[31m\\u000d\n    x\\u202e".encode()),
        ("utf-8", False, "中\x1b[31m\r\n\tx\u202e".encode()),
        ("gbk", True, "中".encode("gbk") + b"\\u001b[31m\\u000d\n    x\\u202e"),
        ("gbk", False, "中\x1b[31m\r\n\tx\u202e".encode()),
    ],
)
def test_text_is_exact_in_pipes_and_harmless_on_terminals(
    monkeypatch: pytest.MonkeyPatch, encoding: str, terminal: bool, expected: bytes
) -> None:
    """A pipe gets the text unchanged; a terminal gets no control characters."""
    written = replace_stdout(monkeypatch, encoding, terminal=terminal)
    print_text("中\x1b[31m\r\n\tx\u202e")
    assert written.getvalue() == expected


def test_tables_know_the_width_of_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unprintable characters are escaped before a table is laid out, so that frames stay straight."""
    replace_stdout(monkeypatch, "gbk", terminal=True)
    assert visible("中🚀\x9b") == "中\\ud83d\\ude80\\u009b"


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", "a → b · c…"), ("ascii", "a > b - c~")])
def test_our_signs(monkeypatch: pytest.MonkeyPatch, encoding: str, expected: str) -> None:
    """A terminal without UTF-8 gets our signs in ASCII, and no escapes for them."""
    replace_stdout(monkeypatch, encoding, terminal=True)
    assert visible("a → b · c…") == expected


def test_streams_never_fail_on_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that an encoding lacks are escaped."""
    written = replace_stdout(monkeypatch, "ascii", terminal=False)
    print("中", end="")  # noqa: T201
    assert written.getvalue() == b"\\u4e2d"


def test_width_is_that_of_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no width, whatever COLUMNS says."""
    monkeypatch.setenv("COLUMNS", "91")
    replace_stdout(monkeypatch, "utf-8", terminal=False)
    assert terminal_width() is None
    replace_stdout(monkeypatch, "utf-8", terminal=True)
    assert terminal_width() == 91


@pytest.mark.parametrize(
    ("terminal", "expected"),
    [(False, "one two /a/long/path/to-it three\n"), (True, "one two\n/a/long/path/to-it\nthree\n")],
)
def test_notes_end_lines_between_words(monkeypatch: pytest.MonkeyPatch, terminal: bool, expected: str) -> None:
    """On a terminal a note is wrapped between words; elsewhere it is one line."""
    monkeypatch.setenv("COLUMNS", "10")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", (Terminal if terminal else io.TextIOWrapper)(written, "utf-8"))
    note("one two /a/long/path/to-it three")
    assert written.getvalue().decode() == expected
