"""Tests of writing exports."""

import stat
from pathlib import Path

import pytest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.export.files import safe_stem, write_new, write_over, writing_over


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """The same content is not written twice; other content gets the next free name, and all files are private."""
    folder = tmp_path / "new" / "folder"
    paths = [write_new(folder, "cmpl-1", ".json", content) for content in (b"a", b"b", b"a", b"c", b"b")]
    assert [path.name for path in paths] == [
        "cmpl-1.json",
        "cmpl-1-2.json",
        "cmpl-1.json",
        "cmpl-1-3.json",
        "cmpl-1-2.json",
    ]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "cmpl-1.json": b"a",
        "cmpl-1-2.json": b"b",
        "cmpl-1-3.json": b"c",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_links_and_folders_are_left_alone(tmp_path: Path) -> None:
    """A name of a folder or a dangling link is not written to."""
    (tmp_path / "a.json").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a-2.json").mkdir()
    assert write_new(tmp_path, "a", ".json", b"x") == tmp_path / "a-3.json"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("chatcmpl-00000001", "chatcmpl-00000001"),
        ("../../etc/passwd", "_.._etc_passwd"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("a/b\\c:d\x00", "a_b_c_d_"),
        ("中", "_"),
        ("...", ""),
        ("x" * 500, "x" * 200),
    ],
)
def test_ids_become_harmless_names(name: str, stem: str) -> None:
    """An id from the API cannot lead out of the folder or confuse a shell."""
    assert safe_stem(name) == stem


def test_failures_say_where(tmp_path: Path) -> None:
    """A failure to write is one line with the place and the reason."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MoonPalaceError, match=r"^cannot write into .*/file: it is a file, give a folder$"):
        write_new(tmp_path / "file", "a", ".json", b"x")
    with pytest.raises(MoonPalaceError, match=r"^cannot write .*/missing/x: there is no folder .*/missing$"):
        write_over(tmp_path / "missing" / "x", b"x")


def test_write_over_replaces(tmp_path: Path) -> None:
    """A file named by the user is replaced as a whole."""
    path = tmp_path / "out"
    write_over(path, b"long content")
    write_over(path, b"short")
    assert path.read_bytes() == b"short"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_name_for_many(tmp_path: Path) -> None:
    """If many calls have one name, the next ones use their alternative name."""
    names = [
        write_new(tmp_path, "a", ".json", content, otherwise=other).name
        for content, other in ((b"1", "a-7"), (b"2", "a-8"), (b"3", "a-8"), (b"2", "a-8"), (b"1", "a-9"))
    ]
    assert names == ["a.json", "a-8.json", "a-8-2.json", "a-8.json", "a.json"]


def test_file_takes_the_place_of_another_when_it_is_whole(tmp_path: Path) -> None:
    """A file that cannot be completed leaves the old one, and no partial one."""
    path = tmp_path / "out"
    path.write_text("old")

    def fail() -> None:
        with writing_over(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["out"]
    write_over(path, b"new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_link_stays_a_link(tmp_path: Path) -> None:
    """A file is overwritten through a link."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_over(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize("place", ["missing/out", "file/out", ""])
def test_places_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """A place that cannot be written is an error of one line that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(MoonPalaceError, match=r"cannot write .*: .+"):
        write_over(tmp_path / place, b"x")
