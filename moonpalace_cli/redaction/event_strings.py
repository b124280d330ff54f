"""Replace text inside the events of a stream, including text that is cut across several of them.

Pieces that a client would join (such as the `content` of the deltas of one choice) are searched together. A replacement
is written to the event in which the match begins, and the rest of the match is removed from the others. Bytes outside
of changed events stay as they were.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.chat.series import Series, is_text_piece, series_key
from moonpalace_addons.wire.forms import BOM
from moonpalace_addons.wire.json_text import JSON_ESCAPES, parse, quote
from moonpalace_cli.redaction.json_strings import KEY, Scalar, replacements, scalars
from moonpalace_cli.redaction.replacing import Place, Replacement, Visitor, apply


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a text: its event, and the string in it."""

    event: int
    scalar: Scalar


def rewrite_events(data: bytes, place: Place, visitor: Visitor) -> bytes:
    """Return the stream with the replacements made."""
    decoder = make_decoder(limit=len(data) + 1)
    events = [*decoder.feed(data), *decoder.close()]
    changed = new_data([event.data for event in events], place, visitor)
    rewritten: list[bytes] = []
    start = 0
    for number, event in enumerate(events):
        rewritten.append(rewrite_lines(data[start : event.end], place, visitor, changed.get(number)))
        start = event.end
    return b"".join([*rewritten, rewrite_lines(data[start:], place, visitor, None)])


def new_data(events: Sequence[str], place: Place, visitor: Visitor) -> dict[int, str]:
    """Return the new data of changed events, by their number."""
    found: dict[int, list[Replacement]] = {}
    series: dict[Series, list[Fragment]] = {}
    for number, text in enumerate(events):
        if parse(text) is None:
            found[number] = list(visitor.text(place.at(number), text))
            continue
        value = json.loads(text, parse_int=str, parse_float=str)
        for scalar in scalars(text):
            if not scalar.is_key and is_text_piece(scalar.path):
                series.setdefault(series_key(value, scalar.path), []).append(Fragment(number, scalar))
            else:
                where = place.at(number, *scalar.path, *([KEY] if scalar.is_key else []))
                add(found, number, scalar, replacements(scalar.value, where, visitor))
    for fragments in series.values():
        for fragment, inner in spread(fragments, place, visitor):
            add(found, fragment.event, fragment.scalar, inner)
    return {number: apply(events[number], in_order(changes)) for number, changes in found.items() if changes}


def add(found: dict[int, list[Replacement]], number: int, scalar: Scalar, inner: Sequence[Replacement]) -> None:
    """Record the replacements in a string of an event."""
    if inner:
        new = Replacement(scalar.start, scalar.end, quote(apply(scalar.value, inner)))
        found.setdefault(number, []).append(new)


def in_order(changes: Iterable[Replacement]) -> list[Replacement]:
    """Return replacements in the order of the text."""
    return sorted(changes, key=lambda change: change.start)


def spread(
    fragments: Sequence[Fragment], place: Place, visitor: Visitor
) -> Iterable[tuple[Fragment, list[Replacement]]]:
    """Yield each changed piece of a text, with the replacements in it."""
    text = "".join(fragment.scalar.value for fragment in fragments)
    first = fragments[0]
    changes = replacements(text, place.at(first.event, *first.scalar.path), visitor)
    start = 0
    for fragment in fragments:
        end = start + len(fragment.scalar.value)
        # A match is replaced in the piece where it begins, and removed from the others.
        inner = [
            Replacement(
                max(change.start, start) - start,
                min(change.end, end) - start,
                change.text if change.start >= start else "",
            )
            for change in changes
            if change.start < end and change.end > start
        ]
        if inner:
            yield fragment, inner
        start = end


def rewrite_lines(raw: bytes, place: Place, visitor: Visitor, data: str | None) -> bytes:
    """Return the lines of an event with new data, if it is not None, and with the replacements in the other lines."""
    lines: list[bytes] = []
    placed = False
    for line in raw.splitlines(keepends=True):
        content = line.rstrip(b"\r\n")
        if content.removeprefix(BOM).partition(b":")[0] != b"data":
            text = content.decode("utf-8", "surrogateescape")
            new = apply(text, visitor.text(place, text)) if text else ""
            lines.append(new.encode("utf-8", "surrogateescape") + line[len(content) :])
        elif data is None:
            lines.append(line)
        elif not placed:
            placed = True
            end = line[len(content) :] or b"\n"
            body = end.join(b"data: " + part.encode("utf-8", JSON_ESCAPES) for part in data.split("\n"))
            lines.append((BOM if content.startswith(BOM) else b"") + body + line[len(content) :])
    return b"".join(lines)
