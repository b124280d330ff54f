"""The documents show what the program does today."""

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pytest

from moonpalace_addons.settings.table import TABLE
from tests import docs

SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/"


@pytest.fixture(scope="module")
def store() -> Iterator[docs.Demo]:
    """Give a store with the calls of the demo."""
    with docs.demo_store() as found:
        yield found


GUIDE = docs.ROOT / "examples" / "guide"


def sessions(language: str) -> list[tuple[str, str]]:
    """Return the commands in the documents of a language whose outputs are checked, with the outputs that they show."""
    documents = [document for document in (*docs.READMES, *docs.GUIDES) if docs.language_of(document) == language]
    blocks = [block for document in documents for _, block, _ in docs.BLOCK.findall(document.read_text())]
    return [(command, shown) for block in blocks for command, shown in docs.sessions(block) if docs.is_run(command)]


@pytest.fixture(scope="module")
def printed(store: docs.Demo) -> Callable[..., str]:
    """Give what a command prints in a language; each is run once."""
    return cache(partial(docs.printed, store=store))


@pytest.mark.parametrize("language", ["", "zh"])
def test_outputs_are_current(language: str, printed: Callable[..., str]) -> None:
    """Every output in a document is what its command prints."""
    found = sessions(language)
    assert len(found) >= 10
    for command, shown in found:
        real = printed(command, language=language)
        assert docs.is_current(shown, real), f"$ {command}\n{real}\nrun python -m tests.docs"


@pytest.mark.parametrize("document", [*docs.READMES, *docs.GUIDES], ids=lambda path: str(path.relative_to(docs.ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link in a document names a file that exists, and a heading in it."""
    links = re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", document.read_text())
    assert links
    for link, anchor in links:
        assert (document.parent / link).exists(), link
        assert not anchor or anchor in anchors(document.parent / link), f"{link}#{anchor}"


def test_pictures_are_few_and_small() -> None:
    """Each picture is small and in both READMEs; `test_pictures` of the console makes them."""
    pictures = sorted((docs.ROOT / "examples" / "pictures").iterdir())
    assert 0 < len(pictures) <= 3
    assert all(picture.stat().st_size < 100_000 for picture in pictures)
    for readme in docs.READMES:
        assert [picture.name for picture in pictures if f"pictures/{picture.name})" not in readme.read_text()] == []


def anchors(document: Path) -> list[str]:
    """Return the anchors of a document's headings, as GitHub and Gitee make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("language", ["", "zh"])
def test_all_guides_are_listed(language: str) -> None:
    """Each guide is in the list of guides, and exists in both languages."""
    folder = GUIDE / language
    listed = re.findall(r"^\| \[(.+)\]\(\1\) \|", (folder / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in GUIDE.glob("*.md") if path.name != "README.md")
    assert all((folder / name).exists() for name in listed)


@pytest.mark.parametrize("name", docs.TABLES)
def test_tables_are_those_of_the_code(name: str) -> None:
    """The tables of settings, of names that are sent to OpenTelemetry, and of the columns of SQL views are current."""
    found = {each[2]: each[3] for guide in GUIDE.glob("*.md") for each in docs.TABLE.finditer(guide.read_text())}
    assert found[name] == docs.TABLES[name](), "run python -m tests.docs"


@pytest.mark.parametrize("language", ["", "zh"])
def test_every_setting_is_in_every_guide(language: str) -> None:
    """No guide forgets a setting."""
    text = (GUIDE / language / "settings.md").read_text()
    missing = [setting.name for setting in TABLE if f"--{setting.name}`" not in text or setting.env not in text]
    assert missing == []


@pytest.mark.parametrize("readme", docs.READMES, ids=lambda path: path.name)
def test_the_two_commands_are_shown(readme: Path) -> None:
    """Both set-up commands stand in the README, and .ci/run calls the second to the letter."""
    text = readme.read_text()
    assert f"{SET_UP}mpal demo" in text
    assert f"{SET_UP}pytest\n" in text
    assert f"{SET_UP}pytest\n" in (docs.ROOT / ".ci" / "run").read_text()
