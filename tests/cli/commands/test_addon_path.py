"""Tests of `mpal addon-path`."""

from pathlib import Path

import pytest

from tests.cli.conftest import Mpal


def test_the_path_is_that_of_the_script(mpal: Mpal) -> None:
    """The path can be passed to mitmdump -s."""
    result = mpal("addon-path")
    assert (result.code, result.err) == (0, "")
    assert Path(result.out.strip()) == Path(__file__).parents[3] / "addons" / "moonpalace.py"


def test_a_script_that_is_gone(mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is reported."""
    monkeypatch.setattr("moonpalace_cli.commands.addon_path.find_spec", lambda _: None)
    assert mpal("addon-path").err == "Error: the script moonpalace.py is not there: install MoonPalace again\n"
