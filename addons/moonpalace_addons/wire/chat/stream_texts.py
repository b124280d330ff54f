"""Join the texts of a stream that is not merged from its events, so that words cut between events can be found.

Pieces of a text in events of known kinds are joined. Strings in events of unknown kinds may be pieces or separate
texts: they are included both ways.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from moonpalace_addons.wire.chat.event_data import make_decoder, read_data
from moonpalace_addons.wire.chat.pieces import MAX_DEPTH, Text
from moonpalace_addons.wire.chat.searched import SEARCHED_KEYS, texts
from moonpalace_addons.wire.chat.series import Path, Series, is_certain_text_piece, is_text_piece, series_key
from moonpalace_addons.wire.json_value import dump_json, parse
from moonpalace_addons.wire.secrets import bodies, masking
from moonpalace_addons.wire.secrets.values import known
from moonpalace_addons.wire.sse import Decoder, Event

MEMBER_KEYS = frozenset({*SEARCHED_KEYS, "delta", "partial_json"})
SLICE_SIZE = 65_536
MAX_EVENTS = 250_000
"""Maximum events of a stream whose texts are joined. Reading as many takes a few seconds."""


def of_answer(stream: bytes | None, answer: bytes | None, hidden: Sequence[bytes] = ()) -> str | None:
    """Return the texts of a stream stored unmerged, None if it is merged or there is none."""
    return document(stream, hidden) if stream is not None and stream == answer else None


def document(stream: bytes, hidden: Sequence[bytes] = ()) -> str | None:
    """Return a JSON document with the texts of a stream, each once, as values that a word search covers.

    Known secrets (`hidden`) and those recognized by their form are masked: they may become complete only here. Return
    None if an event is too large to be read, or if there are too many: searches then cover the bytes of the stream.
    """
    decoder = make_decoder()
    events = events_of(decoder, stream)
    found_texts = dict.fromkeys(joined(islice(events, MAX_EVENTS)))
    if decoder.overflowed or next(events, None) is not None:
        return None
    written = dump_json([{"text": text} for text in found_texts])
    found = bodies.find(written, known(tuple(hidden)))
    return masking.overwrite(written, ((finding.start, finding.end) for finding in found)).decode("utf-8", "replace")


def joined(events: Iterable[Event]) -> Iterator[str]:
    """Yield the texts of a stream's events."""
    growing: dict[Series, Text] = {}
    for text in of_events(events):
        if isinstance(text, str):
            yield text
            continue
        series, piece = text
        growing.setdefault(series, Text()).add(piece)
    for each in growing.values():
        yield each.result("text", {})


def events_of(decoder: Decoder, stream: bytes) -> Iterator[Event]:
    """Yield the events of a stream; few of them are in memory at once."""
    for start in range(0, len(stream), SLICE_SIZE):
        yield from decoder.feed(stream[start : start + SLICE_SIZE])
    yield from decoder.close()


def of_events(events: Iterable[Event]) -> Iterator[str | tuple[Series, str]]:
    """Yield the strings of the events; a piece of a text comes with the key of that text."""
    for event in events:
        if isinstance(value := parse(event.data), dict):
            yield from of_value(value)
        else:
            data = read_data(event)
            yield from texts(event.data) if data.is_odd else ()
            for value, _ in data.values:
                yield from of_value(value)


def of_value(value: object) -> Iterator[str | tuple[Series, str]]:
    """Yield the strings of one value of an event in the same way."""
    for path, string in strings(value):
        grows = is_text_piece(path)
        if grows:
            yield series_key(value, path), string
        if not (grows and is_certain_text_piece(value, path)):
            yield string


def strings(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the searched strings in a value, with their paths."""
    if isinstance(value, dict):
        for key, member in value.items():
            if isinstance(member, str):
                if key in MEMBER_KEYS and member:
                    yield (*path, key), member
            elif len(path) < MAX_DEPTH:
                yield from strings(member, (*path, key))
    elif isinstance(value, list) and len(path) < MAX_DEPTH:
        for place, element in enumerate(value):
            if isinstance(element, dict | list):
                yield from strings(element, (*path, place))
