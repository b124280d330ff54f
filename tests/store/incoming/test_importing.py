"""Importing calls from another store: each once, with all its data."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import file_checks
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.incoming import importing
from moonpalace_addons.store.incoming.importing import Counts, import_calls
from moonpalace_addons.store.incoming.sources import opened_source
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import contents, exchanges, labels, runs
from moonpalace_addons.store.revision import REVISION
from moonpalace_addons.store.write.host import host_name
from moonpalace_addons.store.write.writer import Writer
from tests.tasks import ended, request_read, response_started

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"
EVENTS = [b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n', b"data: [DONE]\n\n"]
HEADERS = (
    "Accept: */*\r\nUser-Agent: OpenAI/Python 1.82.0\r\nContent-Length: 79\r\n" + "X-Long: enough to be shared\r\n" * 3
)


@pytest.fixture
def other(tmp_path: Path, empty_store: Path) -> Path:
    """Give the file of another store, empty."""
    folder = tmp_path / "other"
    folder.mkdir()
    return Path(shutil.copyfile(empty_store, folder / "other.sqlite"))


@pytest.fixture
def filled(other: Path) -> str:
    """Put a plain call and a stream with labels into the other store, whose first call has been deleted; its URL."""
    url = f"sqlite:///{other}"
    engine = open_store(url)
    writer = Writer(engine)
    writer.start()
    for chunks in (None, None, EVENTS):
        call = request_read(query="limit=3", headers=HEADERS)
        kind = {} if chunks is None else {"content_type": "text/event-stream"}
        writer.put(call)
        writer.put(ended(call, response=response_started(call, chunks, **kind)))
    assert writer.stop()
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM exchanges WHERE id = 1"))
    labels.change(engine, [3], labels.Change(category="badcase", note="a note", tag=("one", "two")))
    engine.dispose()
    return url


def take(url: str, engine: Engine, *, dry_run: bool = False) -> Counts:
    """Import a store."""
    with opened_source(url) as source:
        return import_calls(source, engine, dry_run=dry_run)


def numbers(engine: Engine) -> list[int]:
    """Return the ids of all calls."""
    return [exchange.id for exchange in exchanges.latest(engine, limit=1000)]


def test_file_of_the_original_is_taken_once(engine: Engine) -> None:
    """All 49 calls are imported, under numbers of this store; nothing the second time."""
    assert take(f"sqlite:///{REFERENCE}", engine) == Counts(imported=49)
    assert take(f"sqlite:///{REFERENCE}", engine) == Counts(present=49)
    assert sorted(numbers(engine)) == list(range(1, 50))


def test_upgraded_file_has_the_same_calls(tmp_path: Path, engine: Engine) -> None:
    """A file upgraded in place and its backup have the same calls: those from one are not imported from the other."""
    copy = tmp_path / "copy.sqlite"
    shutil.copyfile(REFERENCE, copy)
    open_store(f"sqlite:///{copy}").dispose()
    assert take(f"sqlite:///{copy}", engine) == Counts(imported=49)
    assert take(f"sqlite:///{REFERENCE}", engine) == Counts(present=49)


def test_call_comes_with_all_that_belongs_to_it(engine: Engine, filled: str) -> None:
    """Columns, bodies, events, their times and labels are those of the other store; only the numbers are new."""
    assert take(f"sqlite:///{REFERENCE}", engine) == Counts(imported=49)
    assert take(filled, engine) == Counts(imported=2)
    source = open_store(filled)
    theirs, ours = list(selection.in_order(source, [2, 3])), list(selection.in_order(engine, [50, 51]))
    for their, our in zip(theirs, ours, strict=True):
        for name in exchanges.NAMES:
            assert name == "id" or getattr(our, name) == getattr(their, name), name
        assert contents.bodies(engine, our.id) == contents.bodies(source, their.id)
        assert contents.event_times(engine, our.id) == contents.event_times(source, their.id)
    assert contents.event_times(engine, 51) != []
    assert labels.tags_of(engine, [50, 51]) == {51: ("one", "two")}
    assert (ours[1].category, ours[1].note) == ("badcase", "a note")
    source.dispose()


def test_dry_run_changes_nothing(engine: Engine, filled: str) -> None:
    """A dry run counts what would come."""
    assert take(filled, engine, dry_run=True) == Counts(imported=2)
    assert numbers(engine) == []


def test_source_is_not_changed(engine: Engine, filled: str, other: Path) -> None:
    """Neither the file nor its companions change, for ours and for the original's."""
    copy = other.with_name("old.sqlite")
    shutil.copyfile(REFERENCE, copy)
    before = {path.name: path.read_bytes() for path in other.parent.iterdir()}
    take(filled, engine)
    take(f"sqlite:///{copy}", engine)
    assert {path.name: path.read_bytes() for path in other.parent.iterdir()} == before
    assert set(before) == {"other.sqlite", "old.sqlite"}


def test_read_only_folder_is_enough(engine: Engine, filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that this process cannot write to can be read."""
    monkeypatch.setattr(file_checks, "is_writable", lambda _: False)
    assert take(filled, engine) == Counts(imported=2)


def test_open_store_is_read_with_its_log(engine: Engine, filled: str) -> None:
    """Calls that are only in another process's write-ahead log are imported, too."""
    with closing(sqlite3.connect(filled.removeprefix("sqlite:///"))) as writer:
        writer.execute("UPDATE exchanges SET note = 'in the log' WHERE id = 2")
        writer.commit()
        assert take(filled, engine) == Counts(imported=2)
    assert sorted(row.note or "" for row in exchanges.latest(engine, limit=2)) == ["a note", "in the log"]


@pytest.fixture
def in_flight(other: Path) -> Callable[[int], str]:
    """Give a function that puts a call under way into the other store, of a proxy with this process number."""

    def make(pid: int) -> str:
        url = f"sqlite:///{other}"
        engine = open_store(url)
        writer = Writer(engine)
        call = request_read()
        writer.start()
        writer.put(call)
        writer.put(response_started(call, [b'{"id": "chatcmpl-1", "choi']))
        writer.stop()
        with writing(engine) as connection:
            values = {"host": host_name(), "pid": pid}
            connection.execute(text("UPDATE runs SET host = :host, pid = :pid, ended_at = NULL"), values)
        engine.dispose()
        return url

    return make


def test_calls_of_a_living_proxy_are_left_out(engine: Engine, in_flight: Callable[[int], str]) -> None:
    """A call in flight is left out, and counted."""
    assert take(in_flight(os.getppid()), engine) == Counts(left_out=1)
    assert numbers(engine) == []


def test_calls_of_a_dead_proxy_are_finished(engine: Engine, in_flight: Callable[[int], str]) -> None:
    """A call left by a dead proxy is finished as at its next start, and not again after that."""
    url = in_flight(2**22 + 1)
    assert take(url, engine) == Counts(imported=1)
    (call,) = exchanges.latest(engine, limit=1)
    assert (call.state, call.status_code) == ("proxy_died", 200)
    assert contents.bodies(engine, call.id).request
    assert take(url, engine) == Counts(present=1)


def test_batches_are_small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With batches of any size every call is imported once and the progress adds up."""
    monkeypatch.setattr(importing, "MAX_BATCH_ROWS", 7)
    monkeypatch.setattr("moonpalace_addons.store.incoming.transfer.MAX_BATCH_BYTES", 2000)
    seen: list[int] = []
    with opened_source(f"sqlite:///{REFERENCE}") as source:
        assert source.count() == 49
        assert import_calls(source, engine, progress=seen.append) == Counts(imported=49)
    assert seen == [7] * 7
    assert len(numbers(engine)) == 49


def test_two_imports_at_once(engine: Engine) -> None:
    """Two simultaneous imports of the same file import each call once."""
    done: list[Counts] = []
    begin = threading.Barrier(2)

    def run() -> None:
        begin.wait()
        done.append(take(f"sqlite:///{REFERENCE}", engine))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts.imported for counts in done) == 49
    assert len(numbers(engine)) == 49


def test_store_on_a_server_is_a_source(file: Path, engine: Engine, filled: str, postgres_url: str) -> None:
    """Calls come from PostgreSQL as from a file, here into the SQLite `file`."""
    assert file.exists()
    server = open_store(postgres_url)
    assert take(filled, server) == Counts(imported=2)
    server.dispose()
    assert take(postgres_url, engine) == Counts(imported=2)
    assert take(filled, engine) == Counts(present=2)
    assert contents.event_times(engine, max(numbers(engine))) != []


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str], Path]:
    """Give a function that makes a file which is not a store, by its name."""

    def make(name: str) -> Path:
        file = tmp_path / name
        if name == "text":
            file.write_text("not a database, but long enough to look like a header of one" * 10)
        if name in ("tables", "newer"):
            with closing(sqlite3.connect(file)) as connection, connection:
                connection.execute(f"CREATE TABLE {'alembic_version (version_num)' if name == 'newer' else 'x (y)'}")
                if name == "newer":
                    connection.execute("CREATE TABLE exchanges (id)")
                    connection.execute("INSERT INTO alembic_version VALUES ('9999')")
        if name == "empty":
            sqlite3.connect(file).close()
            file.touch()
        return file

    return make


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "there is no file "),
        ("text", "neither a database nor an export; of exports, only json, jsonl and zips of these can be imported"),
        ("tables", "holds other tables"),
        ("newer", f"has the schema 9999, this MoonPalace knows {REVISION}: upgrade this MoonPalace"),
        ("empty", "is empty"),
    ],
)
def test_what_is_no_store_is_refused(
    engine: Engine, broken: Callable[[str], Path], name: str, words: str, file: Path
) -> None:
    """An unusable source is refused in one line, and not changed."""
    source = broken(name)
    before = source.read_bytes() if source.exists() else None
    with pytest.raises(StoreError, match=words) as caught:
        take(f"sqlite:///{source}", engine)
    assert "\n" not in str(caught.value)
    assert (source.read_bytes() if source.exists() else None) == before


def test_key_of_a_run_is_taken_once(engine: Engine, filled: str) -> None:
    """The run of the calls is imported with them."""
    take(filled, engine)
    with engine.connect() as connection:
        assert runs.open_runs(connection) == []
        assert len(connection.execute(text("SELECT id FROM runs")).all()) == 1
