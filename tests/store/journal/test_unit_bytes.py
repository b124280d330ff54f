"""Tests of the bytes of units."""

import json

import pytest
import zstandard

from moonpalace_addons.store.journal import unit_bytes
from moonpalace_addons.store.journal.unit_bytes import LENGTH, checked, pack, unpack
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.units import Unit

COLUMNS = derive.EMPTY | {
    "uuid": "u",
    "run_id": "r",
    "state": State.COMPLETED,
    "path": "/v1/月亮",
    "is_stream": True,
    "latency": 2**62,
    "output_tokens_per_second": 0.1,
}
BEGUN = Unit("u", COLUMNS, request_body=b"\x00\xff request", segments=[(0, b"ab", [(2, 5)]), (1, b"", [])])
ENDED = Unit(
    "u", COLUMNS, changed={"state": State.COMPLETED, "latency": 2**62}, is_over=True, response_body=b"body", kept=True
)
STREAMED = Unit(
    "u", COLUMNS, request_body=b"", is_over=True, response_body=b"merged", stream=b"data: 1\n\n", times=[(4, 1), (9, 2)]
)


@pytest.mark.parametrize("unit", [BEGUN, ENDED, STREAMED, Unit("u", COLUMNS, is_over=True)])
def test_what_is_packed_is_unpacked(unit: Unit) -> None:
    """A unit is read back unchanged; empty and missing values are distinguished."""
    result = unpack(pack(unit))
    assert result.columns == unit.columns
    assert result.changed == unit.changed
    assert (result.uuid, result.row_id, result.kept) == (unit.uuid, None, unit.kept)
    assert (result.request_body, result.segments) == (unit.request_body, unit.segments)
    assert (result.is_over, result.response_body, result.stream) == (unit.is_over, unit.response_body, unit.stream)
    assert result.times == list(unit.times)


def test_columns_of_other_versions_do_no_harm() -> None:
    """An unknown column is ignored; a column unknown to the other version is NULL."""
    plain = zstandard.decompress(pack(ENDED))
    (length,) = LENGTH.unpack_from(plain)
    head = json.loads(plain[LENGTH.size : LENGTH.size + length])
    head["columns"] |= {"invented": 1}
    head["changed"] += ["invented"]
    del head["columns"]["path"]
    data = json.dumps(head).encode()
    result = unpack(zstandard.compress(LENGTH.pack(len(data)) + data + plain[LENGTH.size + length :]))
    assert result.columns == COLUMNS | {"path": None}
    assert result.changed == ENDED.changed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        zstandard.compress(b""),
        zstandard.compress(b"\x02\x00\x00\x00{}"),
        zstandard.compress(b"\x02\x00\x00\x00[]"),
        zstandard.compress(b"\xff\x00\x00\x00{}"),
        zstandard.compress(zstandard.decompress(pack(ENDED))[:-1]),
        zstandard.compress(zstandard.decompress(pack(ENDED)) + b"!"),
        zstandard.compress(b"\x00\x00\x04\x00" + b"[" * 262_144),
        b"\x28\xb5\x2f\xfd\xe0" + (64 * 2**30).to_bytes(8, "little") + b"\x01\x00\x00",
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    """Anything but a packed unit is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        unpack(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"uuid": "another"},
        {"state": "wondering"},
        {"state": None},
        {"started_at": "yesterday"},
        {"is_stream": 1},
        {"path": 7},
        {"latency": True},
        {"warnings": "{}"},
        {"warnings": "[1]"},
        {"warnings": "nonsense"},
        {"changes": "[" * 200_000},
    ],
)
def test_a_row_that_no_reader_could_show(changes: dict[str, object]) -> None:
    """A unit whose row MoonPalace would not write is a ValueError, so that no command fails on it."""
    unit = unpack(pack(Unit("u", COLUMNS | changes)))
    with pytest.raises(ValueError, match=r"."):
        checked(unit)


@pytest.mark.parametrize(
    "unit",
    [
        Unit("u", COLUMNS, segments=[(-1, b"", [])]),
        Unit("u", COLUMNS, segments=[(0, b"a", [("1", 2)])]),  # type: ignore[list-item]
        Unit("u", COLUMNS, is_over=True, stream=b"a", times=[(1, 2, 3)]),  # type: ignore[list-item]
    ],
)
def test_pieces_of_answers_without_numbers(unit: Unit) -> None:
    """A unit with times or segments without numbers is a ValueError, too."""
    packed = pack(unit)
    with pytest.raises(ValueError, match=r"."):
        checked(unpack(packed))


def test_what_no_database_takes_is_made_harmless() -> None:
    """Characters and numbers that a database refuses do not cost the row."""
    result = checked(unpack(pack(Unit("u", COLUMNS | {"path": "/\x00\ud800", "latency": 2**70}))))
    assert (result.columns["path"], result.columns["latency"]) == ("/\\x00\\ud800", None)


def test_a_call_too_large_for_a_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that could not be read back is not packed."""
    monkeypatch.setattr(unit_bytes, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(OverflowError):
        pack(Unit("u", COLUMNS, request_body=bytes(1000)))
