"""Tests of when the pager is used."""

import sys

import click
import pytest

from moonpalace_cli.views.inspecting import paging


@pytest.fixture
def paged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Simulate a terminal of 20 columns and 5 lines; return the pager's input."""
    texts: list[str] = []
    monkeypatch.setattr(paging, "is_terminal", lambda: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "echo_via_pager", texts.append)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "5")
    monkeypatch.delenv("PAGER", raising=False)
    return texts


LONG = "a\nb\nc\nd\ne"


def test_long_text_is_paged(paged: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Only output that does not fit goes through the pager."""
    paging.show("a\nb\nc\nd", pager=True)
    assert (paged, capsys.readouterr().out) == ([], "a\nb\nc\nd\n")
    paging.show(LONG, pager=True)
    assert (paged, capsys.readouterr().out) == ([LONG + "\n"], "")


@pytest.mark.parametrize("how", ["flag", "PAGER", "pipe", "no keys"])
def test_no_pager(
    paged: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """With --no-pager, an empty PAGER, a pipe, or an input without keys, everything is printed directly."""
    if how == "PAGER":
        monkeypatch.setenv("PAGER", "")
    elif how == "pipe":
        monkeypatch.setattr(paging, "is_terminal", lambda: False)
    elif how == "no keys":
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    paging.show(LONG, pager=how != "flag")
    assert (paged, capsys.readouterr().out) == ([], LONG + "\n")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("x" * 80, True),
        ("x" * 81, False),
        ("中" * 40, True),
        ("中" * 41, False),
        ("\x1b[32m" * 60 + "x", True),
        ("\n" * 3, True),
        ("\n" * 4, False),
    ],
)
def test_fits(text: str, fits: bool) -> None:
    """Long lines take several lines of the terminal, wide characters two columns and colours none."""
    assert paging.fits(text, 20, 5) is fits
