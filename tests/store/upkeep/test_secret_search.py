"""Searching the whole store for keys and tokens."""

import base64
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.journal.journal_file import Journal
from moonpalace_addons.store.journal.unit_bytes import pack
from moonpalace_addons.store.records import exchanges, labels
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.upkeep.secret_search import Hit, found_in, masked, search, search_journal
from moonpalace_addons.store.upkeep.texts import Text, texts
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.units import Unit
from tests.carried import carry
from tests.tasks import request_read

KEY = "sk-9fR2kLmQ8vXc0TzB4nYd"
SHOWN = f"sk-9… ({len(KEY)} characters)"


@pytest.fixture
def call(engine: Engine, run_id: str) -> int:
    """Give the number of a call without any body."""
    columns = derive.request_columns(request_read(), {}, run_id=run_id, fingerprint_key=b"k")
    with writing(engine) as connection:
        (number,) = exchanges.insert_exchanges(connection, [columns]).values()
    return number


def put(engine: Engine, call: int, **carried: Any) -> None:
    """Store the contents of a call."""
    with writing(engine) as connection:
        carry(connection, call, **carried)


COLUMNS = [
    column.name
    for column in EXCHANGES.c
    if column.type.python_type is str
    and column.name not in ("uuid", "run_id", "state", "key_fingerprint", "category", "request_parts", "response_parts")
]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_is_searched(engine: Engine, call: int, name: str) -> None:
    """A key in any column of a call is found, with the column's name."""
    with writing(engine) as connection:
        connection.execute(update(EXCHANGES).values({name: f"before {KEY} after"}))
    assert search(engine) == [Hit(call, name, "API key", SHOWN)]


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("request_headers", "A: b\r\nX-Api-Key: short\r\n", "header X-Api-Key"),
        ("response_headers", "set-cookie: a=b\r\n", "header set-cookie"),
        ("query", "limit=3&token=short", "query parameter named like a credential"),
    ],
)
def test_names_tell_too(engine: Engine, call: int, column: str, value: str, kind: str) -> None:
    """A header or parameter named like a credential is found whatever its value."""
    with writing(engine) as connection:
        connection.execute(update(EXCHANGES).values({column: value}))
    assert search(engine) == [Hit(call, column, kind, "…")]


def test_query_that_was_stripped_is_no_hit(engine: Engine, call: int) -> None:
    """Values that the gate has removed are not reported."""
    with writing(engine) as connection:
        connection.execute(update(EXCHANGES).values(query="token=***"))
    assert search(engine) == []
    assert call


@pytest.mark.parametrize("side", ["request", "response"])
def test_bodies_are_searched(engine: Engine, call: int, side: Any) -> None:
    """A key in any piece of a large body is found once, on its side."""
    message = '{"role": "user", "content": "%s"}'
    messages = [message % (KEY if number in (3, 5) else "x" * 2000) for number in range(9)]
    body = f'{{"messages": [{", ".join(messages)}]}}'
    put(engine, call, **{side: body.encode()})
    assert search(engine) == [Hit(call, f"{side} body", "API key", SHOWN)]


def test_piece_of_several_calls_is_told_of_each(engine: Engine, call: int, run_id: str) -> None:
    """A piece that two calls share is read once and reported for both."""
    with writing(engine) as connection:
        row = dict(connection.execute(EXCHANGES.select()).mappings().one())
        row = {name: value for name, value in row.items() if name != "id"} | {"uuid": run_id}
        (other,) = exchanges.insert_exchanges(connection, [row]).values()
    body = KEY.encode().ljust(777)
    for each in (call, other):
        put(engine, each, request=body)
    read: list[int] = []
    assert [hit.call for hit in search(engine, read.append)] == [call, other]
    assert read.count(777) == 1


def test_piece_of_no_call_is_told(engine: Engine, call: int) -> None:
    """A piece left over from deleted calls is searched, too."""
    put(engine, call, request=KEY.encode())
    with writing(engine) as connection:
        connection.execute(update(EXCHANGES).values(request_parts=None))
    assert search(engine) == [Hit(None, "a piece that no call uses", "API key", SHOWN)]


def test_streams_are_searched(engine: Engine, call: int) -> None:
    """Events are decompressed; a key across two chunks is found."""
    events = f'data: {{"choices":[{{"delta":{{"content":"{KEY}"}}}}]}}\n\n'.encode()
    put(engine, call, stream=events, chunks=[(len(events) - 20, 1), (len(events), 2)])
    assert search(engine) == [Hit(call, "event stream", "API key", SHOWN)]


def test_answer_under_way_is_searched(engine: Engine, call: int) -> None:
    """A key across two segments of an unfinished answer is found."""
    pieces = (KEY[:9], KEY[9:])
    put(engine, call, segments=[(number, piece.encode(), []) for number, piece in enumerate(pieces)])
    assert search(engine) == [Hit(call, "answer under way", "API key", SHOWN)]


def test_labels_are_searched(engine: Engine, call: int) -> None:
    """Tags and notes are searched."""
    labels.change(engine, [call], labels.Change(note=f"see {KEY}", tag=(KEY,)))
    assert [(hit.field, hit.masked) for hit in search(engine)] == [("note", SHOWN), ("tag", SHOWN)]


def test_nothing_of_ours_looks_like_a_secret(engine: Engine, call: int) -> None:
    """Uuids, fingerprints and hashes of a plain store are not reported."""
    put(engine, call, request=b'{"model": "kimi-k3"}')
    assert search(engine) == []


@pytest.mark.parametrize(
    "content",
    [
        rf'{{"content": "the key:\n{KEY}"}}',
        rf'{{"content": "\t{KEY}"}}',
        rf'{{"content": "\u003c{KEY}\u003e"}}',
        rf'{{"arguments": "{{\"key\": \"{KEY}\"}}"}}',
        f"{KEY}\x00\xff",
    ],
)
def test_escapes_hide_nothing(content: str) -> None:
    """A JSON escape before a key does not count as part of its first word."""
    result = list(found_in(Text("parts", "data", 1, content.encode("latin-1"))))
    assert [(kind, shown[:4]) for kind, shown in result] == [("API key", "sk-9")]


@pytest.mark.parametrize("place", [0, 1, 39, 40, 41, 5000, 100_000])
def test_place_does_not_matter(place: int) -> None:
    """A key is found anywhere, even next to another one and at the very end."""
    other = "ghp_0123456789abcdefghijABCDEFGHIJ"
    content = "." * place + f" {KEY} {other} " + "." * place + f" {other}"
    result = list(found_in(Text("parts", "data", 1, content.encode())))
    assert [kind for kind, _ in result] == ["API key", "GitHub token", "GitHub token"]


def test_images_are_no_hits() -> None:
    """Long base64, as in images, is skipped quickly, whatever it begins with."""
    image = base64.b64encode(random.Random(1).randbytes(3_000_000))
    begun = time.monotonic()
    for data in (image, b"eyJ" * 1_000_000, b"sk-" * 1_000_000, b"\\n" * 1_000_000, b"://" * 1_000_000):
        assert list(found_in(Text("parts", "data", 1, data))) == []
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("secret", "expected"),
    [("hunter2", "… (7 characters)"), ("elevenchars", "… (11 characters)"), (KEY, SHOWN)],
)
def test_little_of_a_secret_is_shown(secret: str, expected: str) -> None:
    """Four characters of a long secret are shown, none of a short one."""
    assert masked(secret) == expected


def test_memory_is_bounded_by_rows(engine: Engine, call: int) -> None:
    """The texts of many rows are read a few at a time."""
    with writing(engine) as connection:
        for number in range(60):
            values = {"hash": number.to_bytes(16), "data": b"x%d" % number, "is_text": True, "id": number + 1}
            connection.execute(text("INSERT INTO parts VALUES (:id, :hash, :is_text, :data)"), values)
    with engine.connect() as connection:
        results = [one.data for one in texts(connection) if one.table == "parts"]
    assert results == [b"x%d" % number for number in range(60)]
    assert call


def waiting(path: Path, *contents: bytes) -> Journal:
    """Return the open journal of a writer, with these units."""
    journal = Journal.create(path, {"id": "run-1"})
    journal.add(contents)
    return journal


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"columns": {"path": f"/v1/{KEY}"}}, "path"),
        ({"columns": {"response_headers": f"A: {KEY}\r\n"}}, "response_headers"),
        ({"request_body": KEY.encode()}, "request body"),
        ({"is_over": True, "response_body": KEY.encode()}, "response body"),
        ({"is_over": True, "stream": KEY.encode()}, "event stream"),
        ({"segments": [(0, KEY[:9].encode(), ()), (1, KEY[9:].encode(), ())]}, "answer under way"),
    ],
)
def test_calls_that_wait_in_a_journal_are_searched(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    """A key in any part of a call in a journal is found while its proxy uses the journal, and adds to it afterwards."""
    path = tmp_path / "calls.sqlite.run-1.journal"
    plain = Unit("u-2", derive.EMPTY | {"uuid": "u-2"})
    journal = waiting(path, pack(plain), pack(replace(plain, **changes)))
    assert list(search_journal(path)) == [Hit(None, f"{field} of a call in {path.name}", "API key", SHOWN)]
    journal.add([pack(plain)])
    assert len(list(journal.frames())) == 3
    journal.close()


def test_journals_that_cannot_be_searched(tmp_path: Path) -> None:
    """A deleted journal has nothing, a truncated one is searched as far as it goes, another version's is refused."""
    path = tmp_path / "calls.sqlite.run-1.journal"
    assert list(search_journal(path)) == []
    waiting(path, pack(Unit("u-1", {}, request_body=KEY.encode())), pack(Unit("u-2", {}))).close()
    path.write_bytes(path.read_bytes()[:-3])
    hits = list[Hit]()
    with pytest.raises(ValueError, match=r"[0-9]+ bytes of it cannot be read"):
        hits.extend(search_journal(path))
    assert len(hits) == 1
    path.write_bytes(b"MoonPalace journal 9\n")
    with pytest.raises(ValueError, match="another version"):
        list(search_journal(path))


def test_a_journal_of_which_a_part_cannot_be_searched(tmp_path: Path) -> None:
    """The readable part is searched before the failure is reported."""
    path = tmp_path / "calls.sqlite.run-1.journal"
    waiting(path, b"nonsense", pack(Unit("u-1", {}, request_body=KEY.encode()))).close()
    hits = list[Hit]()
    with pytest.raises(ValueError, match="16 bytes of it cannot be read"):
        hits.extend(search_journal(path))
    assert [hit.kind for hit in hits] == ["API key"]
