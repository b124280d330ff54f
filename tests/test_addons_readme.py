"""Compare `addons/README.md`, which describes the structure of the project, with the files."""

import re
from pathlib import Path

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
    """Return each path in the text, with the name said to be in it, otherwise empty."""
    matches = [PATH.fullmatch(code) for code in CODE.findall(TEXT)]
    return sorted({(match[1], match[2] or "") for match in matches if match})


def file_of(path: str) -> Path | None:
    """Return the file or folder of a path: in the project, or in the library."""
    return next((place / path for place in (ROOT, LIBRARY) if (place / path).exists()), None)


def test_paths_are_found() -> None:
    """The tests below do find the paths in the text."""
    assert len(named_paths()) > 40


def test_every_folder_is_named() -> None:
    """The text names every folder, except that of the migrations' versions inside the migrations."""
    assert [folder for folder in FOLDERS if f"`{folder}`" not in TEXT and folder.name != "versions"] == []


def test_every_path_exists() -> None:
    """Every path in the text exists, and defines the stated name."""
    for path, name in named_paths():
        file = file_of(path)
        assert file is not None, f"there is no {path}"
        defined = rf"^(class {name}\b|{name} = |type {name}\b)"
        assert not name or re.search(defined, file.read_text(encoding="utf-8"), re.MULTILINE), f"{path}: {name}"
