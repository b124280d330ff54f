"""Merge JSON that arrives in pieces, by the rules that every level of a streamed answer shares.

    text           strings within a delta are joined, except labels such as `status` or `request_id`, which repeat or
                   update a value; elsewhere the last one is kept
    identifiers    the first value under a key in `IDENTIFIER_KEYS` that is neither empty nor 0 is kept
    objects        are merged by the same rules
    lists          elements with an `index` are merged by it, parts of a text are continued, all others are appended
                   (see `Elements`)
    anything else  the last value is kept
    null, ""       never overwrite a value: some servers send them where others omit the member

Some servers send the whole text or list so far each time. This is detected from the pieces: each begins with the one
before. Such detections, and everything else that is ambiguous, are recorded as doubts.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeGuard

from moonpalace_addons.wire.foreign import quoted

TEXT_KEYS = frozenset(
    {"content", "reasoning_content", "reasoning", "refusal", "arguments", "text", "thinking", "transcript", "data"}
    | {"input", "output", "summary", "partial_json"}
)
"""Texts that are known to arrive in pieces."""
IDENTIFIER_KEYS = frozenset({"id", "object", "created", "model", "system_fingerprint", "role", "name", "type"})

_LABEL = re.compile(
    r"(.*_)?(id|at|reason|type|status|format|time|date|timestamp|fingerprint|provider|tier|version|ur[il]|language"
    r"|model|phase|channel|detail)"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MIN_STEPS, _MIN_WHOLE = 3, 10
"""How often a text must have grown, and its minimum length, to be treated as one that is sent whole each time."""
_MIN_VARIETY = 8
"""Different characters in the first piece from which on one step is enough: pieces of a loop rarely have as many."""

MAX_DEPTH = 50
"""Nesting levels that are merged; deeper values keep the last state. It bounds recursion."""

MAX_NAME = 40
"""Maximum characters of a member's name in a doubt: a server may call its members whatever it likes."""

type Doubts = dict[str, None]
"""Ambiguities and how they were resolved, in words, in order."""


def doubt(doubts: Doubts, key: str, what: str) -> None:
    """Record what is ambiguous in the member under `key`, and how it was resolved."""
    doubts[f"{_named(key[: 2 * MAX_NAME])} {what}"] = None


@lru_cache(maxsize=256)
def _named(key: str) -> str:
    return quoted(key, MAX_NAME)


class Pieces:
    """Merge one object; time and memory are linear in the input.

    `joins` means that texts arrive in pieces, `appends` that a list which arrives again may be a continuation.
    """

    __slots__ = ("_appends", "_doubts", "_joins", "_level", "_lists", "_objects", "_texts", "_values")

    def __init__(
        self, doubts: Doubts | None = None, *, joins: bool = False, appends: bool = False, level: int = 0
    ) -> None:
        self._doubts: Doubts = {} if doubts is None else doubts
        self._level = level
        self._joins = joins
        self._appends = appends
        self._values: dict[str, object] = {}
        self._texts: dict[str, Text] = {}
        self._objects: dict[str, Pieces] = {}
        self._lists: dict[str, Elements] = {}

    def feed(self, piece: Mapping[str, object], without: Sequence[str] = ()) -> None:
        """Add one piece, except for the keys in `without`."""
        for key, value in piece.items():
            if key in without:
                continue
            known = self._values.setdefault(key, None)
            if value is None:
                continue
            if isinstance(value, str) and self._is_in_pieces(key):
                self._feed_text(key, value)
            elif isinstance(value, dict) and self._level < MAX_DEPTH:
                self._feed_object(key, value)
            elif isinstance(value, list) and self._level < MAX_DEPTH:
                self._feed_list(key, value)
            elif not known if key in IDENTIFIER_KEYS else known in (None, "") or value != "":
                self._values[key] = value

    def add_text(self, key: str, text: str) -> None:
        """Add a piece that consists of a single text."""
        self._values.setdefault(key, None)
        self._feed_text(key, text)

    def add_texts(self, key: str, texts: Sequence[str]) -> None:
        """Add several such pieces."""
        known = self._texts.get(key)
        if known is None or key in self._lists:
            for text in texts:
                self.add_text(key, text)
        else:
            known.extend(texts)

    def get(self, key: str) -> object:
        """Return the current value under `key`, None for texts, objects and lists."""
        return self._values.get(key)

    def text(self, key: str) -> str:
        """Return all text under `key` so far."""
        return join_text(self._texts[key].parts) if key in self._texts else ""

    def within(self, key: str) -> "Pieces | None":
        """Return the merged object under `key`."""
        return self._objects.get(key)

    def result(self) -> dict[str, object]:
        """Return the object, its keys in order of first appearance."""
        return {key: self._value(key, value) for key, value in self._values.items()}

    def _is_in_pieces(self, key: str) -> bool:
        return self._joins and (key in TEXT_KEYS or (key not in IDENTIFIER_KEYS and not _is_label(key)))

    def _feed_text(self, key: str, value: str) -> None:
        elements = self._lists.get(key)
        if elements is not None and elements.has_parts:
            elements.add_text(value)
            return
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = Text()
        text.add(value)

    def _feed_object(self, key: str, value: Mapping[str, object]) -> None:
        found = self._objects.get(key)
        if found is None:
            # Arguments sent as an object are not text in pieces.
            joins = self._joins and key != "arguments"
            found = self._objects[key] = Pieces(self._doubts, joins=joins, appends=self._appends, level=self._level + 1)
        found.feed(value)

    def _feed_list(self, key: str, value: list[object]) -> None:
        elements = self._lists.get(key)
        if elements is None:
            elements = self._lists[key] = Elements(
                key, self._doubts, joins=self._joins, appends=self._appends, level=self._level + 1
            )
        if key == "content" and any(isinstance(element, dict) and "type" in element for element in value):
            elements.has_parts = True
            text = self._texts.pop(key, None)
            if text is not None and text.parts:
                elements.add_text(join_text(text.parts))
        elements.feed(value)

    def _value(self, key: str, value: object) -> object:
        text, pieces, elements = self._texts.get(key), self._objects.get(key), self._lists.get(key)
        found: list[object] = [] if text is None else [text.result(key, self._doubts)]
        found += [] if pieces is None else [pieces.result()]
        found += [] if elements is None else [elements.result()]
        found += [] if value is None else [value]
        filled = [each for each in found if each not in ("", {}, [])]
        if len(filled) > 1:
            doubt(self._doubts, key, "came in several types, of which one is kept")
        return next(iter(filled or found), None)


class Text:
    """Collect one text; `parts` are its pieces, without empty ones."""

    __slots__ = ("_is_whole", "_steps", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._is_whole = True  # every piece so far begins with the one before
        self._steps = 0  # how often a piece was longer than the one before

    def extend(self, parts: Sequence[str]) -> None:
        """Add pieces; they are joined at once where it makes no difference."""
        begun = 0
        while self._is_whole and begun < len(parts):
            self.add(parts[begun])
            begun += 1
        if joined := "".join(parts[begun:] if begun else parts):
            self.parts.append(joined)

    def add(self, part: str) -> None:
        """Add a piece."""
        if not part:
            return
        if self._is_whole and self.parts:
            before = self.parts[-1]
            self._is_whole = part.startswith(before)
            self._steps += len(part) > len(before)
        self.parts.append(part)

    def result(self, key: str, doubts: Doubts) -> str:
        """Return the text: its pieces joined, or the last one if each was the whole text."""
        if not self._is_whole or len(self.parts) < 2:
            return join_text(self.parts)
        if not self._steps and key not in TEXT_KEYS:
            doubt(doubts, key, "came several times with the same text, which is kept once")
            return join_text(self.parts[-1:])
        first = self.parts[0]
        is_long = len(set(first)) >= _MIN_VARIETY or (key not in TEXT_KEYS and len(first) >= _MIN_WHOLE)
        if self._steps and (is_long or (self._steps >= _MIN_STEPS and len(self.parts[-1]) >= _MIN_WHOLE)):
            doubt(doubts, key, "came whole each time, the last is kept")
            return join_text(self.parts[-1:])
        return join_text(self.parts)


class Elements:
    """Merge one list.

    Elements with an `index` are merged by it, and by `type` and `id` where these differ. Others are appended, but if a
    list begins with a part of a text, it continues a part of the same type that came last. A list that repeats all
    elements so far and adds some replaces them, as does one that only repeats them, unless it may be a continuation.
    """

    __slots__ = ("_appends", "_doubts", "_joins", "_key", "_known", "_latest", "_level", "_order", "has_parts", "items")

    def __init__(self, key: str, doubts: Doubts, *, joins: bool, appends: bool, level: int) -> None:
        self.items: list[object] = []
        self.has_parts = False
        """Whether its elements are the parts of a content, to which text can be added."""
        self._key = key
        self._level = level
        self._doubts = doubts
        self._joins = joins
        self._appends = appends
        self._known: dict[tuple[int, object, object], Pieces] = {}
        self._latest: dict[int, Pieces] = {}
        self._order: list[int] = []

    def feed(self, elements: list[object]) -> None:
        """Add a list."""
        if not any(isinstance(element, dict) and index_of(element) is not None for element in elements):
            self._extend(elements)
            return
        for element in elements:
            index = index_of(element) if isinstance(element, dict) else None
            if isinstance(element, dict) and index is not None:
                self._at(index, element).feed(element)
            else:
                self.items.append(element)

    def add_text(self, text: str) -> None:
        """Add text that arrived where other pieces were lists."""
        doubt(self._doubts, self._key, "came as text and as a list, kept as a list")
        self._append([{"type": "text", "text": text}])

    def result(self) -> list[object]:
        """Return the list, ordered by index if every element has one."""
        items = self.items
        if len(self._order) == len(items):
            items = [items[place] for place in sorted(range(len(items)), key=self._order.__getitem__)]
        return [self._item(item) for item in items]

    def _item(self, item: object) -> object:
        return item.result() if isinstance(item, Pieces) else item

    def _extend(self, elements: list[object]) -> None:
        if self._is_repeated(elements):
            self.items.clear()
            self._append(elements)
            return
        if self.items and elements and not self._appends:
            doubt(self._doubts, self._key, "came several times with other elements, all of which are kept")
        self._append(elements)

    def _append(self, elements: list[object]) -> None:
        for place, element in enumerate(elements):
            if not (self._joins and _is_part(element)):
                self.items.append(element)
                continue
            last = self.items[-1] if self.items and place == 0 else None
            if not (isinstance(last, Pieces) and last.get("type") == element["type"]):
                last = self._new()
                self.items.append(last)
            last.feed(element)

    def _is_repeated(self, elements: list[object]) -> bool:
        count = len(self.items)
        # A single part most likely goes on; to compare it with the text so far each time would take quadratic time.
        is_piece = len(elements) == 1 and self._joins and _is_part(elements[0])
        if (
            not count
            or len(elements) < count
            or is_piece
            or elements[:count] != [self._item(item) for item in self.items]
        ):
            return False
        if not self._appends:
            return True
        is_sure = (len(elements) > count or count > 1) and not isinstance(elements[0], int | float)
        if is_sure:
            doubt(self._doubts, self._key, "came whole each time, the last is kept")
        return is_sure

    def _at(self, index: int, element: Mapping[str, object]) -> Pieces:
        kind, ident = element.get("type") or None, element.get("id") or None
        key = (index, str(kind), str(ident))
        found = self._known.get(key) if kind or ident else None
        latest = self._latest.get(index)
        if found is None and latest is not None:
            known = latest.get("type") or None, latest.get("id") or None
            is_other = any(old and new and old != new for old, new in zip(known, (kind, ident), strict=True))
            found = None if is_other else latest
        if found is None:
            found = self._new()
            self.items.append(found)
            self._order.append(index)
            if latest is not None:
                doubt(self._doubts, self._key, "has different elements with the same index, which are kept apart")
        self._known[key] = self._latest[index] = found
        return found

    def _new(self) -> Pieces:
        return Pieces(self._doubts, joins=self._joins, appends=self._appends, level=self._level + 1)


def _is_part(element: object) -> TypeGuard[Mapping[str, object]]:
    """Tell whether an element is a part of a text: one whose type names the member with the text."""
    kind = element.get("type") if isinstance(element, dict) else None
    return isinstance(element, dict) and kind in TEXT_KEYS and isinstance(element.get(kind), str | list)


@lru_cache(maxsize=256)
def _is_label(key: str) -> bool:
    return _LABEL.fullmatch(key) is not None


def join_text(parts: list[str]) -> str:
    """Join text; if a surrogate pair was cut between two parts, restore the character."""
    text = "".join(parts)
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def index_of(piece: Mapping[str, object]) -> int | None:
    """Return the `index` of a choice or tool call; None if it is missing or not a whole number."""
    index = piece.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else None
