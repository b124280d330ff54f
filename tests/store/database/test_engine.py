"""Tests of opening a store."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import engine as engine_module
from moonpalace_addons.store.database.engine import for_deleting, parse_url, set_layout, shown, writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.revision import REVISION
from tests.store.database.at_once import open_at_once

ORIGINAL = """CREATE TABLE moonshot_requests (id integer not null primary key autoincrement, request_method text);
CREATE TABLE moonshot_caches (id integer not null primary key autoincrement, cache_id text not null);
INSERT INTO moonshot_requests (request_method) VALUES ('POST');"""


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def write_sqlite(file: Path, script: str) -> None:
    connection = sqlite3.connect(file)
    connection.executescript(script)
    connection.close()


def refused(url: str, *, create: bool = True) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(url, create=create)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_store_is_created_for_its_owner_alone(tmp_path: Path) -> None:
    """The folder is created with 0700 and the file with 0600, and so are the files that SQLite puts next to it."""
    file = tmp_path / "home" / "moonpalace.sqlite"
    engine = open_store(url_of(file), create=True)
    with writing(engine) as connection:
        connection.execute(text("UPDATE store_identity SET id = id"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}
    assert "moonpalace.sqlite-wal" in modes
    engine.dispose()


def test_a_store_opens_again_with_what_it_held(file: Path) -> None:
    """Opening a store again keeps its identity and runs no migration."""
    keys = []
    for _ in range(2):
        engine = open_store(url_of(file), create=True)
        with engine.connect() as connection:
            keys.append(connection.execute(text("SELECT fingerprint_key FROM store_identity")).scalar_one())
        engine.dispose()
    assert len(keys[0]) == 32
    assert keys[0] == keys[1]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """An empty file, as left by a killed start, becomes a new store."""
    file = tmp_path / "moonpalace.sqlite"
    file.touch()
    engine = open_store(url_of(file), create=False)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM exchanges")).scalar_one() == 0
    engine.dispose()


def test_a_file_that_others_can_read_is_closed_to_them(file: Path) -> None:
    """A proxy that opens an existing store removes other users' rights; a reader does not."""
    file.chmod(0o644)
    open_store(url_of(file)).dispose()
    assert file.stat().st_mode & 0o777 == 0o644
    open_store(url_of(file), create=True).dispose()
    assert file.stat().st_mode & 0o777 == 0o600


def test_connections_have_the_pragmas(file: Path) -> None:
    """The store is in WAL mode, checks foreign keys, and syncs as WAL needs it."""
    engine = open_store(url_of(file))
    with engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        ]
    engine.dispose()
    assert values == ["wal", 1, 1, 5000]


def test_an_engine_for_deleting(file: Path) -> None:
    """It has a large cache, and does not overwrite deleted data."""
    engine = open_store(url_of(file))
    with for_deleting(engine, 32_000_000) as own, own.connect() as connection:
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("cache_size", "secure_delete")]
    engine.dispose()
    assert values == [-31_250, 2]


def test_a_new_file_has_the_layout(file: Path) -> None:
    """A new file has large pages and returns freed ones; an existing file keeps its layout."""
    for page_size, vacuum in ((16384, 2), (4096, 0)):
        engine = open_store(url_of(file), create=True)
        with engine.connect() as connection:
            values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("page_size", "auto_vacuum")]
        engine.dispose()
        assert values == [page_size, vacuum]
        file.unlink()
        write_sqlite(file, "PRAGMA page_size = 4096; CREATE TABLE a (b); DROP TABLE a;")


def test_a_write_takes_the_lock_at_its_beginning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one connection is in `writing`, another cannot begin to write, but can read."""
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT", 0.01)
    first, second = open_store(url_of(file)), open_store(url_of(file))
    with writing(first):
        with pytest.raises(OperationalError, match="locked"), writing(second):
            pass
        with second.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 0
    first.dispose()
    second.dispose()


def test_a_failed_write_leaves_nothing(file: Path) -> None:
    """Data written before an exception inside `writing` is rolled back."""
    engine = open_store(url_of(file))

    def fail_half_way() -> None:
        with writing(engine) as connection:
            connection.execute(text("DELETE FROM store_identity"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM store_identity")).scalar_one() == 1
    engine.dispose()


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Without `create`, a missing file is an error that says how to create one, and nothing is created."""
    file = tmp_path / "home" / "moonpalace.sqlite"
    assert refused(url_of(file), create=False) == (
        f"there is no database at {file}: run mpal start and make a call through it, or give --database"
    )
    assert not file.parent.exists()


def text_file(file: Path) -> None:
    file.write_text("dear diary " * 1000)


def program(file: Path) -> None:
    shutil.copyfile(sys.executable, file)
    file.chmod(0o755)


def damaged_header(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\x00" + b"diary" * 1000)


def others_tables(file: Path) -> None:
    write_sqlite(file, "CREATE TABLE people (name TEXT)")


def others_tables_in_the_log(file: Path) -> None:
    """Leave a file of another program that died, with a table only in its log."""
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA journal_mode = WAL'); c.execute('CREATE TABLE people (name TEXT)'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, file], check=True)


def seen(path: Path) -> tuple[object, ...]:
    """Return everything that must not change about a file and its companions, except SQLite's shared memory."""
    result = path.stat()
    content = path.read_bytes() if path.is_file() else b""
    beside = {each.name for each in path.parent.iterdir() if not each.name.endswith("-shm")}
    return oct(result.st_mode), result.st_mtime_ns, content, beside


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("by_link", [False, True])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (text_file, "it is not an SQLite database (file is not a database); move it away or give another"),
        (program, "it is not an SQLite database (file is not a database); move it away or give another"),
        (damaged_header, "it is not an SQLite database (file is not a database); move it away or give another"),
        (others_tables, "holds other tables than MoonPalace's: give another database"),
        (others_tables_in_the_log, "holds other tables than MoonPalace's: give another database"),
        (os.mkfifo, "it is not a regular file; give another database"),
        (Path.mkdir, "it is a folder; give another database"),
    ],
)
def test_what_is_not_ours_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], None], why: str, *, by_link: bool, create: bool
) -> None:
    """Another program's file is refused, and keeps its mode, its time and its content."""
    place = tmp_path / "place"
    place.mkdir()
    target = place / "something"
    make(target)
    target.chmod(target.stat().st_mode | 0o044)
    os.utime(target, ns=(1, 1))
    file = tmp_path / "link" if by_link else target
    if by_link:
        file.symlink_to(target)
    before = seen(target)
    message = refused(url_of(file), create=create)
    assert str(file) in message
    assert f"{why} with --database" in message
    assert seen(target) == before


def test_a_device_is_left_as_it_was() -> None:
    """A device is left unchanged, too."""
    before = Path("/dev/null").stat()
    assert refused("sqlite:////dev/null").startswith("cannot open /dev/null: it is not a regular file;")
    assert Path("/dev/null").stat() == before


def test_a_link_to_a_store_is_followed(file: Path) -> None:
    """A link to a store on another disk is followed; the store and its companions become private."""
    link = file.with_name("link.sqlite")
    link.symlink_to(file)
    file.chmod(0o644)
    log = file.with_name(f"{file.name}-wal")
    log.touch(0o644)
    open_store(url_of(link), create=True).dispose()
    assert file.stat().st_mode & 0o777 == 0o600
    assert link.is_symlink()


def test_a_table_with_the_name_of_the_originals_is_left_alone(tmp_path: Path) -> None:
    """A table with the original's name but other columns belongs to somebody else and is not changed."""
    file = tmp_path / "moonpalace.sqlite"
    write_sqlite(file, ORIGINAL)
    before = file.read_bytes()
    assert f"{file} holds other tables than MoonPalace's" in refused(url_of(file))
    assert file.read_bytes() == before


def test_a_newer_schema_is_refused(file: Path) -> None:
    """A store with an unknown revision is refused, naming both revisions."""
    write_sqlite(file, "UPDATE alembic_version SET version_num = '9999'")
    assert refused(url_of(file)) == (
        f"{file} was written by a newer MoonPalace (schema 9999, this one knows {REVISION}): upgrade"
    )


@pytest.mark.parametrize("place", ["/proc/nowhere/moonpalace.sqlite", "{tmp}/a-file/moonpalace.sqlite"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, place: str) -> None:
    """If the folder cannot be created, or is not a folder, the error names the file."""
    (tmp_path / "a-file").touch()
    file = place.format(tmp=tmp_path)
    assert refused(url_of(Path(file))).startswith(f"cannot create the database {file}: ")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    """A folder where the file should be is an error that names it."""
    assert refused(url_of(tmp_path)).startswith(f"cannot open {tmp_path}: it is a folder; give another database")


def test_a_locked_store_that_must_be_migrated_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file that another process keeps locked is an error that says so."""
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT", 0.01)
    file = tmp_path / "moonpalace.sqlite"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    message = refused(url_of(file))
    holder.close()
    assert message == f"cannot open {file}: database is locked: another process holds it, try again when that has ended"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter22@127.0.0.1:1/store",
        "postgresql://me:x@ss/hunter22@127.0.0.1/store",
        "postgresql://me:hunter22@127.0.0.1:hunter22/store",
        "nonsense://me:hunter22@host/store",
        "mysql+nodriver://me:hunter22@host/store",
        "me:hunter22@host",
    ],
)
def test_a_password_never_shows(url: str) -> None:
    """Whatever is wrong with a URL, the error and its cause have no password."""
    with pytest.raises(StoreError) as caught:
        open_store(url, create=True)
    assert "\n" not in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert "hunter22" not in str(caught.value.__cause__)
    assert caught.value.__cause__ is not None or caught.value.__suppress_context__ or not caught.value.__context__


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:////a/b.sqlite", "/a/b.sqlite"),
        ("postgresql://me:pw@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("sqlite://", "sqlite://"),
    ],
)
def test_stores_are_shown_by_path_or_by_url(url: str, name: str) -> None:
    """A store is named by its path, or by its URL with the password masked."""
    assert shown(parse_url(url)) == name


def test_many_processes_can_create_a_store_at_once(tmp_path: Path) -> None:
    """Several processes that open the same new store together all succeed, and one of them creates it."""
    file = tmp_path / "home" / "moonpalace.sqlite"
    open_at_once(url_of(file))
    engine = open_store(url_of(file))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM store_identity")).scalar_one() == 1
    engine.dispose()


def test_the_layout_waits_for_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file that another process has locked is waited for; a permanent lock gives one line."""
    file = tmp_path / "moonpalace.sqlite"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT", 0.01)
    monkeypatch.setattr(engine_module, "LAYOUT_TIMEOUT", 0.1)
    engine = engine_module.make_engine(parse_url(url_of(file)))
    with pytest.raises(OperationalError, match="database is locked"):
        set_layout(engine)
    monkeypatch.setattr(engine_module, "LAYOUT_TIMEOUT", 20.0)
    release = threading.Timer(0.2, other.close)
    release.start()
    set_layout(engine)
    release.join()
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    engine.dispose()


def test_a_copy_of_a_store_opens_without_the_files_beside_it(file: Path, tmp_path: Path) -> None:
    """A store that was closed is complete in a single file."""
    engine = open_store(url_of(file))
    with writing(engine) as connection:
        connection.execute(text("UPDATE store_identity SET fingerprint_key = x'00'"))
    engine.dispose()
    copy = shutil.copyfile(file, tmp_path / "copy.sqlite")
    engine = open_store(url_of(Path(copy)))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT fingerprint_key FROM store_identity")).scalar_one() == b"\x00"
    engine.dispose()
