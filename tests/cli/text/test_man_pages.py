"""Tests of the man pages."""

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from moonpalace_cli.main import COMMANDS, cli
from moonpalace_cli.text.man_pages import escaped, pages

ROOT = Path(__file__).parents[3]
MACROS = (".TH ", ".SH ", ".PP", ".nf", ".fi", ".TP")


def test_every_command_has_a_page() -> None:
    """There is a page for the program, for each command, and for its subcommands."""
    names = {name for name, _ in pages(cli, "mpal", "1.0")}
    assert names >= {"mpal.1", "mpal-cache-why.1", "mpal-config-init.1", *(f"mpal-{name}.1" for name in COMMANDS)}


def test_pages_are_ascii_and_hold_no_other_macros() -> None:
    """No line of a help text is a macro, and no character is beyond ASCII."""
    for name, text in pages(cli, "mpal", "1.0"):
        assert text.isascii(), name
        assert text.startswith(f'.TH {name.removesuffix(".1").upper().replace("-", "\\-")} 1 "" "MoonPalace 1.0"')
        wrong = [line for line in text.splitlines() if line.startswith((".", "'")) and not line.startswith(MACROS)]
        assert wrong == [], name


def test_a_page_says_what_the_help_says() -> None:
    """Synopsis, description with its examples, and each flag with its meaning."""
    text = dict(pages(cli, "mpal", "1.0"))["mpal-log.1"]
    assert ".SH NAME\nmpal\\-log \\- Show the newest calls as one line each, and follow new ones.\n" in text
    assert ".SH SYNOPSIS\n\\fBmpal log\\fP [OPTIONS]\n" in text
    assert re.search(r"\.nf\n +12:33:32 #110 .*\n +12:34:05 .*\n\.fi\n", text)
    assert ".TP\n\\fB\\-f, \\-\\-follow\\fP\nKeep running, and print each call as it ends.\n" in text
    assert text.endswith(".SH SEE ALSO\n\\fBmpal\\fP(1)\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a-b\\c", "a\\-b\\ec"), (".TH x", "\\&.TH x"), ("'x", "\\&'x"), ("7.4k→45", "7.4k\\[u2192]45"), ("", "")],
)
def test_escapes(text: str, expected: str) -> None:
    """Nothing in a text is interpreted."""
    assert escaped(text) == expected


def test_a_command_without_options() -> None:
    """A section without entries is left out."""
    plain = click.Command("plain", help="Do it.", add_help_option=False)
    ((name, text),) = pages(plain, "plain", "1.0")
    assert (name, ".SH OPTIONS" in text, "SEE ALSO" in text) == ("plain.1", False, False)


def test_the_build_refuses_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses before it imports our code, which would be a SyntaxError there."""
    plugin = ModuleType("hatchling.builders.hooks.plugin.interface")
    plugin.BuildHookInterface = list  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
    hook = runpy.run_path(str(ROOT / ".ci" / "man_pages.py"))["ManPages"]()
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    with pytest.raises(SystemExit, match=r"^MoonPalace requires Python >=3.12$"):
        hook.initialize("standard", {})
