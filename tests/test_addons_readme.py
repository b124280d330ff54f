"""Hold `addons/README.md`, which says how the project is built, to the tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "addons" / "README.md").read_text(encoding="utf-8")
LIBRARY = ROOT / "addons" / "moonpalace_addons"
FOLDERS = sorted(
    path.parent.relative_to(ROOT)
    for package in ("addons", "moonpalace_cli")
    for path in (ROOT / package).rglob("__init__.py")
)
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"([\w./-]*/[\w./-]+|[\w-]+\.py)(?:: (\w+))?")
"""A path, alone or with a name that is defined there."""


def named_paths() -> list[tuple[str, str]]:
    """Return each path that the text names, with the name said to be in it, empty for none."""
    matches = [PATH.fullmatch(code) for code in CODE.findall(TEXT)]
    return sorted({(match[1], match[2] or "") for match in matches if match})


def file_of(path: str) -> Path | None:
    """Return what a path stands for: in the project, or in the library."""
    return next((place / path for place in (ROOT, LIBRARY) if (place / path).exists()), None)


def test_paths_are_found() -> None:
    """The tests below look at what the text names."""
    assert len(named_paths()) > 40


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_folder_is_named(folder: Path) -> None:
    """A newcomer finds every folder in the text, but for that of the migrations' versions inside the migrations."""
    assert f"`{folder}`" in TEXT or folder.name == "versions"


@pytest.mark.parametrize(("path", "name"), named_paths())
def test_every_path_exists(path: str, name: str) -> None:
    """What the text names is there, and defines what it is said to."""
    file = file_of(path)
    assert file is not None, f"there is no {path}"
    if name:
        assert re.search(rf"^(class {name}\b|{name} = |type {name}\b)", file.read_text(encoding="utf-8"), re.MULTILINE)
