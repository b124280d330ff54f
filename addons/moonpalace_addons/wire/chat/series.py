"""Tell which strings of a stream's events are pieces of one text: those that a client would join."""

from collections.abc import Sequence

from moonpalace_addons.wire.chat import pieces

TEXT_PIECE_KEYS = pieces.TEXT_KEYS | {"delta"}
"""Members whose values clients concatenate, on all faces of the API."""
_TEXT_ID_KEYS = ("type", "index", "output_index", "content_index", "summary_index", "item_id")
"""Members of an event that tell which text it continues, on the faces whose events have a `type`."""
_BLOCK_BEGINS, _BLOCK_GOES_ON = "content_block_start", "content_block_delta"
"""The one type of event whose text those of another type continue: it is in `_BLOCK` of the one, `_DELTA` of others."""
_BLOCK, _DELTA = "content_block", "delta"

type Path = Sequence[str | int]
type Series = tuple[object, ...]


def is_text_piece(path: Path) -> bool:
    """Tell whether the string that stands at `path` in an event is a piece of a longer text."""
    return bool(path) and path[-1] in TEXT_PIECE_KEYS


def is_certain_text_piece(value: object, path: Path) -> bool:
    """Tell whether it is for sure: events of an unknown kind may have a text of their own each."""
    kind = value.get("type") if isinstance(value, dict) else None
    return not {_DELTA, _BLOCK, "choices"}.isdisjoint(path) or (isinstance(kind, str) and _DELTA in kind)


def series_key(value: object, path: Path) -> Series:
    """Return what tells the text that the string at `path` of an event continues from all others.

    An element of a list is told by its `index`, which need not be its position.
    """
    told: list[object] = [value.get(name) for name in _TEXT_ID_KEYS] if isinstance(value, dict) else []
    path = (_DELTA, *path[1:]) if told and told[0] == _BLOCK_BEGINS and path[0] == _BLOCK else path
    inside = value
    for key in path:
        if isinstance(inside, dict):
            inside = inside.get(key)
        elif isinstance(inside, list) and isinstance(key, int):
            inside = inside[key]
            key = str(inside["index"]) if isinstance(inside, dict) and "index" in inside else key
        told.append(key)
    if told[0] == _BLOCK_BEGINS:
        told[0] = _BLOCK_GOES_ON
    return tuple([element if isinstance(element, str | int) else None for element in told])
