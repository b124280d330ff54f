"""Collect the texts of a stream: those that a client would join, the other strings of its events, and its other lines.

Nearly all events of a stream have the same members, and differ in a few of their values. So the shape of an event is
learnt when it is parsed, and what differs is read from later events of this shape without parsing them.
"""

import json
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field

from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.chat.series import IDENTIFYING, Series, is_text_piece, series_key
from moonpalace_addons.wire.json_text import parse
from moonpalace_cli.redaction.json_strings import scalars
from moonpalace_cli.redaction.json_texts import texts_in

STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
MAX_SHAPES = 8
"""Shapes that an event is compared with; a stream of one answer has few."""


@dataclass(slots=True)
class Texts:
    """The texts of a stream: whole ones, and the pieces of those that are cut."""

    whole: list[str] = field(default_factory=list)
    pieces: dict[Series, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True)
class Shape:
    """What events have in common: the strings of their JSON, at odd places, and what is between them.

    `pieces` are the places of strings that continue a text, with its key, `free` those of other values. `numbered` are
    the places between strings where numbers may differ, `last` the parts of the last event of this shape.
    """

    pieces: list[tuple[int, Series]]
    free: list[int]
    numbered: list[int]
    last: list[str]

    def take(self, parts: list[str], texts: Texts) -> bool:
        """Add the texts of an event of this shape; return False, and add nothing, for any other."""
        last = self.last
        if len(parts) != len(last):
            return False
        common = list(parts)
        for place, _ in self.pieces:
            common[place] = last[place]
        for place in self.free:
            common[place] = last[place]
        for place in self.numbered if common != last else ():
            if common[place] != last[place] and plain(common[place]) == plain(last[place]):
                common[place] = last[place]
        if common != last:
            return False
        try:
            pieces = [(key, string(parts[place])) for place, key in self.pieces]
            values = [string(parts[place]) for place in self.free if parts[place] != last[place]]
        except ValueError:  # no JSON
            return False
        for key, piece in pieces:
            texts.pieces[key].append(piece)
        for value in values:
            texts.whole += texts_in(value)
        self.last = parts
        return True


def plain(between: str) -> str:
    """Return what is between two strings with its numbers made equal."""
    return NUMBER.sub("0", between)


def split(text: str) -> list[str]:
    """Return JSON in parts: what is between its strings, and at odd places these, as they are written."""
    return STRING.split(text) if "\\" in text else text.split('"')


def string(written: str) -> str:
    """Return the value of a JSON string from its JSON text; raise ValueError if it is invalid."""
    return str(json.loads(f'"{written}"')) if "\\" in written or not written.isprintable() else written


def event_texts(data: bytes) -> list[str]:
    """Return the texts of a stream."""
    decoder = make_decoder(limit=len(data) + 1)
    texts, shapes = Texts(), deque[Shape](maxlen=MAX_SHAPES)
    for event in (*decoder.feed(data), *decoder.close()):
        parts = split(event.data)
        if not any(shape.take(parts, texts) for shape in shapes):
            learn(event.data, parts, texts, shapes)
    lines = {line for line in data.splitlines() if not line.startswith(b"data:")}
    texts.whole += [line.decode("utf-8", "surrogateescape") for line in lines]
    for pieces in texts.pieces.values():
        texts.whole += texts_in("".join(pieces))
    return texts.whole


def learn(text: str, parts: list[str], texts: Texts, shapes: deque[Shape]) -> None:
    """Add the texts of an event, and its shape; the data of one that is no JSON is a text."""
    if parse(text) is None:
        texts.whole.append(text)
        return
    value = json.loads(text, parse_int=str, parse_float=str)
    pieces, free, place = list[tuple[int, Series]](), list[int](), 1
    numbered, identifying = set[int](), set[int]()
    for scalar in scalars(text):
        varies = not scalar.is_key and not (scalar.path and scalar.path[-1] in IDENTIFYING)
        if text[scalar.start] != '"':
            (numbered if varies else identifying).add(place - 1)
            continue
        if not scalar.is_key and is_text_piece(scalar.path):
            pieces.append((place, series_key(value, scalar.path)))
            texts.pieces[pieces[-1][1]].append(scalar.value)
        else:
            texts.whole += [scalar.value] if scalar.is_key else texts_in(scalar.value)
            free += [place] * varies
        place += 2
    shapes.appendleft(Shape(pieces, free, sorted(numbered - identifying), parts))
