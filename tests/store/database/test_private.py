"""Tests of keeping files and folders from the eyes of others, however lax the surroundings are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonpalace_addons.store.database.private import make_folder, make_home


@pytest.fixture(autouse=True)
def lax() -> Iterator[None]:
    """Let folders be made for everybody, unless who makes them says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_is_made_with_all_that_is_missing_above_it(tmp_path: Path) -> None:
    """Each folder that is made is its owner's alone; those that were there stay as they are."""
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3
    assert mode(tmp_path) == 0o755
    make_folder(tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="exists"):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize("content", [(), ("config.yaml", "moonpalace.sqlite", "moonpalace.sqlite-wal", "mitmproxy")])
def test_a_home_that_others_could_read_becomes_private(tmp_path: Path, content: tuple[str, ...]) -> None:
    """A folder with nothing but MoonPalace's files is made private, one that is missing is made so."""
    home = tmp_path / "home"
    make_home(home)
    assert mode(home) == 0o700
    for name in content:
        (home / name).touch()
    home.chmod(0o755)
    make_home(home)
    assert mode(home) == 0o700


def test_a_home_that_bears_the_name_is_ours(tmp_path: Path) -> None:
    """~/.moonpalace is made private, whatever else somebody has put there."""
    home = tmp_path / ".moonpalace"
    home.mkdir(0o755)
    (home / "notes.txt").touch()
    make_home(home)
    assert mode(home) == 0o700


def test_a_folder_of_other_things_stays_as_it_is(tmp_path: Path) -> None:
    """MOONPALACE_HOME may be the user's home or a folder that others need: its rights are not for us to change."""
    (tmp_path / "notes.txt").touch()
    tmp_path.chmod(0o755)
    make_home(tmp_path)
    assert mode(tmp_path) == 0o755
    make_home(tmp_path / "notes.txt" / "home")  # cannot be made, which others will say
