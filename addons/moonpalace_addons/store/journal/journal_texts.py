"""Extract all texts from a journal, for the secret scan, while its proxy may still write to it."""

import os
from collections.abc import Iterator
from pathlib import Path

from moonpalace_addons.store.journal.framing import frames
from moonpalace_addons.store.journal.journal_file import opened, read_head
from moonpalace_addons.store.journal.unit_bytes import unpack
from moonpalace_addons.store.upkeep.texts import EXCLUDED, Text
from moonpalace_addons.store.write.units import Unit


def journal_texts(path: Path) -> Iterator[Text]:
    """Yield every text of the calls in a journal; `row` is the call's uuid.

    The file is read without a lock: frames appended meanwhile are left out, or counted as unreadable while they are
    being written, and a journal that has just been stored yields nothing. Raises ValueError if another version of
    MoonPalace wrote the file or, after all readable texts, if a part of it cannot be read; OSError if none of it can.
    """
    unread = 0
    try:
        file = opened(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    with file:
        size = file.seek(0, 2)
        head = read_head(file, size)
        end = head[1] if head else 0
        for content, stop in frames(file, end, size) if head else ():
            begin, end = end, stop
            try:
                unit = unpack(content or b"")
            except ValueError:
                unread += stop - begin
            else:
                yield from texts_of(unit)
        unread += size - end
    if unread:
        raise ValueError(f"{unread} bytes of it cannot be read")


def texts_of(unit: Unit) -> Iterator[Text]:
    """Yield the texts of a call, each with the table and column that it would be stored in."""
    for column, value in unit.columns.items():
        if isinstance(value, str) and column not in EXCLUDED:
            yield Text("exchanges", column, unit.uuid, value.encode("utf-8", "surrogatepass"))
    segments = b"".join(data for _, data, _ in unit.segments)
    bodies = {
        ("parts", "request body"): bytes(unit.request_body or b""),
        ("response_segments", "data"): segments,
        ("parts", "response body"): unit.response_body,
        ("event_streams", "data"): unit.stream,
    }
    for (table, column), data in bodies.items():
        if data:
            yield Text(table, column, unit.uuid, data)
