"""Tests of keeping files and folders private, whatever the umask."""

from pathlib import Path

import pytest

from moonpalace_addons.store.database.private import make_folder, make_home

pytestmark = pytest.mark.usefixtures("open_umask")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_is_made_with_all_that_is_missing_above_it(tmp_path: Path) -> None:
    """Each created folder is private; existing ones are unchanged."""
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
    """A folder with only MoonPalace's files becomes private; a missing one is created so."""
    home = tmp_path / "home"
    make_home(home)
    assert mode(home) == 0o700
    for name in content:
        (home / name).touch()
    home.chmod(0o755)
    make_home(home)
    assert mode(home) == 0o700


def test_a_home_that_bears_the_name_is_ours(tmp_path: Path) -> None:
    """~/.moonpalace becomes private, whatever else is in it."""
    home = tmp_path / ".moonpalace"
    home.mkdir(0o755)
    (home / "notes.txt").touch()
    make_home(home)
    assert mode(home) == 0o700


def test_a_folder_of_other_things_stays_as_it_is(tmp_path: Path) -> None:
    """MOONPALACE_HOME may be the user's home or a shared folder: its permissions are not changed."""
    (tmp_path / "notes.txt").touch()
    tmp_path.chmod(0o755)
    make_home(tmp_path)
    assert mode(tmp_path) == 0o755
    make_home(tmp_path / "notes.txt" / "home")  # cannot be made, which others will say
