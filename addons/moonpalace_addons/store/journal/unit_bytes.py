"""The encoding of a unit in a journal: a zstd frame with a JSON object and the bodies that it describes.

The first 4 bytes (little endian) are the length of the object. Its members are `uuid`; `columns`, those that are not
NULL; `changed`, the names of the columns that the unit changes; `kept`; `times` of an ended stream, [[offset,
nanoseconds] …], null while the call is in flight; and `bodies`, which follow the object one after another, each
described as [kind, length] and a segment as ["segment", length, number, [[offset, nanoseconds] …]].
"""

import json
import struct
from dataclasses import dataclass
from typing import cast

import zstandard

from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.state import State
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.storable import storable
from moonpalace_addons.store.write.units import Segment, Times, Unit
from moonpalace_addons.wire.chat import stream_texts

LENGTH = struct.Struct("<I")
NAMES = frozenset(derive.EMPTY) | {"run_id"}
COLUMN_TYPES = {column.name: column.type.python_type for column in EXCHANGES.columns}

MAX_UNPACKED_BYTES = 2**30
"""Limit for a decompressed unit, so that a damaged size cannot exhaust the memory."""


@dataclass(frozen=True, slots=True)
class Head:
    """The JSON object of a packed unit."""

    uuid: str
    columns: Values
    changed: list[str]
    kept: bool
    times: Times | None
    bodies: list[tuple[object, ...]]


def pack(unit: Unit) -> bytes:
    """Return a packed unit; raises OverflowError if it is larger than 1 GiB."""
    request = None if unit.request_body is None else bytes(unit.request_body)
    bodies = {"request": request, "response": unit.response_body, "stream": unit.stream}
    described: list[tuple[object, ...]] = [(kind, len(body)) for kind, body in bodies.items() if body is not None]
    described += [("segment", len(data), number, times) for number, data, times in unit.segments]
    head = {
        "uuid": unit.uuid,
        "columns": {name: value for name, value in unit.columns.items() if value is not None},
        "changed": list(unit.changed),
        "kept": unit.kept,
        "times": unit.times if unit.is_over else None,
        "bodies": described,
    }
    data = json.dumps(head, separators=(",", ":"), default=list).encode()
    parts = [LENGTH.pack(len(data)), data, *(body for body in bodies.values() if body is not None)]
    parts += [data for _, data, _ in unit.segments]
    size = sum(map(len, parts))
    if size > MAX_UNPACKED_BYTES:
        raise OverflowError(f"a call of {size} bytes is too large for a journal")
    compressor = zstandard.ZstdCompressor(1).compressobj(size=size)  # compressing a joined copy takes twice the memory
    return b"".join([*map(compressor.compress, parts), compressor.flush()])


def unpack(data: bytes) -> Unit:
    """Return the unit in packed bytes; raises ValueError for anything else.

    Columns that this version does not know are dropped; those that the writer's version did not know are NULL.
    """
    try:
        plain = decompressed(data)
        (length,) = LENGTH.unpack_from(plain)
        head = Head(**json.loads(plain[LENGTH.size : LENGTH.size + length]))
        return built(head, plain, LENGTH.size + length)
    except Exception as error:
        # Damaged bytes can raise anything, even RecursionError and MemoryError; none of that is a bug of ours.
        raise ValueError(f"not a unit of a journal: {type(error).__name__}: {error}") from error


def decompressed(data: bytes) -> bytes:
    """Decompress a zstd frame after checking its declared size."""
    declared = zstandard.frame_content_size(data)
    if not 0 <= declared <= MAX_UNPACKED_BYTES:
        raise ValueError(f"{declared} bytes cannot be the size of a packed unit")
    return zstandard.decompress(data)


def built(head: Head, plain: bytes, offset: int) -> Unit:
    """Return the unit described by a head; its bodies begin at `offset`."""
    bodies = dict[object, bytes]()
    segments = list[Segment]()
    for kind, length, *more in head.bodies:
        end = offset + cast(int, length)
        body, offset = plain[offset:end], end
        if kind == "segment":
            number, times = more
            segments.append((cast(int, number), body, pairs(cast(Times, times))))
        else:
            bodies[kind] = body
    if offset != len(plain):
        raise ValueError("the bodies are not as long as they should be")
    columns = derive.EMPTY | {name: value for name, value in head.columns.items() if name in NAMES}
    answer, stream = bodies.get("response"), bodies.get("stream")
    return Unit(
        uuid=head.uuid,
        columns=columns,
        changed={name: columns[name] for name in head.changed if name in NAMES},
        request_body=bodies.get("request"),
        segments=segments,
        kept=head.kept,
        is_over=head.times is not None,
        response_body=answer,
        stream=stream,
        times=pairs(head.times or ()),
        texts=stream_texts.of_answer(stream, answer),
    )


def pairs(times: Times) -> list[tuple[int, int]]:
    """Return times as tuples, which JSON lacks; raises ValueError if they are not valid."""
    result = [(offset, at) for offset, at in times]
    if not all(type(number) is int and 0 <= number <= MAX_INT64 for pair in result for number in pair):
        raise ValueError("times that are not numbers")
    return result


def checked(unit: Unit) -> Unit:
    """Validate a unit from possibly damaged bytes; raises ValueError if readers could not show its row."""
    columns = storable(unit.columns)
    for name, value in columns.items():
        if value is not None and type(value) is not COLUMN_TYPES[name]:
            raise ValueError(f"the column {name} is of the wrong type")
    State(cast(str, columns["state"]))
    if not all(is_list_of_texts(columns[name]) for name in ("changes", "warnings")):
        raise ValueError("a column is not a list of texts")
    if columns["uuid"] != unit.uuid:
        raise ValueError("the row is of another call")
    if not all(type(number) is int and 0 <= number <= MAX_INT64 for number, _, _ in unit.segments):
        raise ValueError("a segment without a number")
    unit.columns, unit.changed = columns, {name: columns[name] for name in unit.changed}
    return unit


def is_list_of_texts(column: object) -> bool:
    """Return whether a column is NULL or a JSON array of strings."""
    try:
        listed = json.loads(cast(str, column or "[]"))
    except (ValueError, RecursionError):
        return False
    return isinstance(listed, list) and all(isinstance(each, str) for each in listed)
