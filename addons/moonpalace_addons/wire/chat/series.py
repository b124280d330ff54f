"""Identify which strings of a stream's events are pieces of one text that a client would join."""

from collections.abc import Sequence

from moonpalace_addons.wire.chat import pieces

TEXT_PIECE_KEYS = pieces.TEXT_KEYS | {"delta"}
"""Members whose values clients concatenate, on all endpoints of the API."""
_TEXT_ID_KEYS = ("type", "index", "output_index", "content_index", "summary_index", "item_id")
"""Members that identify the text that an event continues, on endpoints whose events have a `type`."""
IDENTIFYING = frozenset(_TEXT_ID_KEYS)
"""Members by whose values the key of a text differs, besides where it stands."""
_BLOCK_BEGINS, _BLOCK_GOES_ON = "content_block_start", "content_block_delta"
"""The only event type whose text is continued by another type. The text is in `_BLOCK` of the first, `_DELTA` of
others."""
_BLOCK, _DELTA = "content_block", "delta"

type Path = Sequence[str | int]
type Series = tuple[object, ...]


def is_text_piece(path: Path) -> bool:
    """Tell whether the string at `path` in an event is a piece of a longer text."""
    return bool(path) and path[-1] in TEXT_PIECE_KEYS


def is_certain_text_piece(value: object, path: Path) -> bool:
    """Tell whether it certainly is one: events of an unknown kind may each have a text of their own."""
    kind = value.get("type") if isinstance(value, dict) else None
    return not {_DELTA, _BLOCK, "choices"}.isdisjoint(path) or (isinstance(kind, str) and _DELTA in kind)


def series_key(value: object, path: Path) -> Series:
    """Return the key of the text that the string at `path` of an event continues.

    Elements of lists are identified by their `index`, which need not be their position.
    """
    parts: list[object] = [value.get(name) for name in _TEXT_ID_KEYS] if isinstance(value, dict) else []
    path = (_DELTA, *path[1:]) if parts and parts[0] == _BLOCK_BEGINS and path[0] == _BLOCK else path
    inside = value
    for key in path:
        if isinstance(inside, dict):
            inside = inside.get(key)
        elif isinstance(inside, list) and isinstance(key, int):
            inside = inside[key]
            key = str(inside["index"]) if isinstance(inside, dict) and "index" in inside else key
        parts.append(key)
    if parts[0] == _BLOCK_BEGINS:
        parts[0] = _BLOCK_GOES_ON
    return tuple([element if isinstance(element, str | int) else None for element in parts])
