"""The documents show what the program does today."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from moonpalace_addons.settings.table import TABLE
from tests import docs

SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/"


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    """Give a store with the calls of the demo."""
    with docs.demo_store() as found:
        yield found


@pytest.mark.parametrize("readme", docs.READMES, ids=lambda path: path.name)
def test_outputs_are_current(readme: Path, environment: Mapping[str, str]) -> None:
    """Every output in a README is what its command prints."""
    checked = 0
    for block in docs.BLOCK.findall(readme.read_text()):
        for command, shown in docs.sessions(block[1]):
            if docs.is_run(command):
                real = docs.printed(command, environment)
                assert docs.is_current(shown, real), f"$ {command}\n{real}\nrun python -m tests.docs"
                checked += 1
    assert checked >= 5


@pytest.mark.parametrize("readme", docs.READMES, ids=lambda path: path.name)
def test_links_lead_somewhere(readme: Path) -> None:
    """Every relative link in a README names a file that exists."""
    links = re.findall(r"\]\(([^)#:]+)\)", readme.read_text())
    assert links
    for link in links:
        assert (readme.parent / link).exists(), link


def test_the_settings_are_documented() -> None:
    """The README's table of settings is the one of the code."""
    found = docs.SETTINGS.search(docs.READMES[0].read_text())
    assert found is not None
    assert found[2] == docs.settings_table(), "run python -m tests.docs"


@pytest.mark.parametrize("readme", docs.READMES, ids=lambda path: path.name)
def test_every_setting_is_in_every_readme(readme: Path) -> None:
    """No README forgets a setting."""
    text = readme.read_text()
    missing = [setting.name for setting in TABLE if f"--{setting.name}`" not in text or setting.env not in text]
    assert missing == []


@pytest.mark.parametrize("readme", docs.READMES, ids=lambda path: path.name)
def test_the_two_commands_are_shown(readme: Path) -> None:
    """Both set-up commands stand in the README, and .ci/run calls the second to the letter."""
    text = readme.read_text()
    assert f"{SET_UP}mpal demo" in text
    assert f"{SET_UP}pytest\n" in text
    assert f"{SET_UP}pytest\n" in (docs.ROOT / ".ci" / "run").read_text()
