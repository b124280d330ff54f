"""The bytes of a unit in a journal: one zstd frame around a JSON object and the bodies that it describes.

The first 4 bytes (little endian) are the length of the object. Its members are `uuid`; `columns`, those that are not
NULL; `changed`, the names of the columns that the unit changes; `kept`; `times`, of the stream that ended, [[offset,
nanoseconds] …], null while the call goes on; and `bodies`, which lie after the object one after another, each
described by [kind, length] and a segment by ["segment", length, number, [[offset, nanoseconds] …]].
"""

import json
import struct
from dataclasses import dataclass
from typing import cast

import zstandard

from moonpalace_addons.store import derive
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.units import Ending, Segment, Times, Unit

LENGTH = struct.Struct("<I")
NAMES = frozenset(derive.EMPTY) | {"run_id"}


@dataclass(frozen=True, slots=True)
class Head:
    """The JSON object; its fields are the members."""

    uuid: str
    columns: Values
    changed: list[str]
    kept: bool
    times: Times | None
    bodies: list[tuple[object, ...]]


def pack(unit: Unit) -> bytes:
    """Return a unit as bytes."""
    ending = unit.ending or Ending(None, None, ())
    bodies = {"request": unit.request_body, "response": ending.body, "stream": ending.stream}
    described: list[tuple[object, ...]] = [(kind, len(body)) for kind, body in bodies.items() if body is not None]
    described += [("segment", len(data), number, times) for number, data, times in unit.segments]
    head = {
        "uuid": unit.uuid,
        "columns": {name: value for name, value in unit.columns.items() if value is not None},
        "changed": list(unit.changed),
        "kept": unit.kept,
        "times": ending.times if unit.ending else None,
        "bodies": described,
    }
    data = json.dumps(head, separators=(",", ":")).encode()
    parts = [body for body in bodies.values() if body is not None] + [data for _, data, _ in unit.segments]
    return zstandard.compress(b"".join([LENGTH.pack(len(data)), data, *parts]), 1)


def unpack(data: bytes) -> Unit:
    """Return the unit that was packed; raises ValueError for other bytes.

    Columns that this version does not know are left out; those that the writer's did not know are NULL.
    """
    try:
        plain = zstandard.decompress(data)
        (length,) = LENGTH.unpack_from(plain)
        head = Head(**json.loads(plain[LENGTH.size : LENGTH.size + length]))
        return built(head, plain, LENGTH.size + length)
    except (zstandard.ZstdError, struct.error, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no unit of a journal: {error}") from error


def built(head: Head, plain: bytes, offset: int) -> Unit:
    """Return the unit that a head describes; its bodies begin at `offset`."""
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
        raise ValueError("no unit of a journal: the bodies are not as long as they should be")
    columns = derive.EMPTY | {name: value for name, value in head.columns.items() if name in NAMES}
    over = head.times is not None
    return Unit(
        uuid=head.uuid,
        columns=columns,
        changed={name: columns[name] for name in head.changed if name in NAMES},
        request_body=bodies.get("request"),
        ending=Ending(bodies.get("response"), bodies.get("stream"), pairs(head.times or ())) if over else None,
        segments=segments,
        kept=head.kept,
    )


def pairs(times: Times) -> list[tuple[int, int]]:
    """Return times as JSON cannot hold them."""
    return [(offset, at) for offset, at in times]
