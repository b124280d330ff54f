"""Merge the tool calls of one message from its deltas.

A piece belongs to the call with its `id`, unless its `index` differs; else to the latest call with its `index`; without
either, to the call at its position in the latest list that identified its calls (by index, by ID or by starting them).
Every call stays open: pieces of an earlier one may arrive after a later one has started.

Some servers send `index: 0` for all calls, a new ID with each piece, or the name with each. So a piece starts another
call only if both it and the call that it would belong to have a name:

    another name   starts one if the ID differs too, or arguments have arrived; else it continues the name
    the same name  starts one if the arguments are complete JSON, or if there are none and the ID differs
    neither index nor a known ID: a name starts one too, as does an ID if every call has complete arguments
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from moonpalace_addons.wire.chat.pieces import Doubts, Pieces, index_of
from moonpalace_addons.wire.json_value import mapping

SAME_INDEX = "several tool calls had the same index, and were told apart by id, name and arguments"
REPEATED = "the arguments of a tool call came twice, and are kept once"
GOES_ON = "the arguments of a tool call went on behind their end"
_ARGUMENT_KEYS = {"function": "arguments", "custom": "input"}
"""Members of a call that hold its name, each with the key of its arguments."""


_MARKS = re.compile(r'\\.|[\\"{}[\]]', re.DOTALL)


class Balance:
    """Track the brackets of one text; time is linear, memory constant. `size` counts the characters."""

    __slots__ = ("_depth", "_in_string", "_is_escaped", "_is_opened", "size")

    def __init__(self) -> None:
        self.size = 0
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self._is_opened = False

    @property
    def is_complete(self) -> bool:
        """Tell whether an object or a list was opened, and everything that was opened is closed."""
        return self._is_opened and self._depth <= 0 and not self._in_string

    def feed(self, text: str) -> None:
        """Add the next piece."""
        self.size += len(text)
        if self._is_escaped and text:
            text, self._is_escaped = text[1:], False
        for mark in _MARKS.findall(text):
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                self._is_escaped = True
            elif not self._in_string and mark in "{}[]":
                self._depth += 1 if mark in "{[" else -1
                self._is_opened = True


@dataclass(slots=True)
class Call:
    """What identifies the pieces of one call; `label` distinguishes it from others of its message."""

    label: object
    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: Balance = field(default_factory=Balance)


@dataclass(frozen=True, slots=True)
class Piece:
    """The fields of a piece; `text` is a piece of the arguments, which belong to `place`."""

    index: int | None
    id: str
    name: str
    text: str
    place: str


def read(piece: Mapping[str, object]) -> Piece:
    """Return the fields of a piece."""
    kind = "custom" if "custom" in piece and not piece.get("function") else "function"
    body, key = mapping(piece.get(kind)), _ARGUMENT_KEYS[kind]
    return Piece(
        index_of(piece), _text(piece.get("id")), _text(body.get("name")), _text(body.get(key)), f"{kind}.{key}"
    )


class Router:
    """Assign every piece to its call; memory is that of the calls, not of their arguments."""

    def __init__(self) -> None:
        self.shares_index = False
        self._begun = 0
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}
        self._latest: list[Call] = []

    def route(self, pieces: list[object]) -> Iterator[tuple[Mapping[str, object], Piece, Call]]:
        """Yield the pieces in one delta's `tool_calls`, their fields, and the call before the piece is added."""
        touched: list[Call] = []
        begun = self._begun
        named = False
        for position, value in enumerate(pieces):
            if not isinstance(value, dict):
                continue
            piece = read(value)
            call = self._find(position, piece) or self._begin(piece)
            yield value, piece, call
            self._take(call, piece)
            named = named or piece.index is not None or bool(piece.id)
            touched.append(call)
        if named or self._begun > begun:
            self._latest = touched

    def _find(self, position: int, piece: Piece) -> Call | None:
        call = self._by_id.get(piece.id)
        if piece.index is None:
            return call or self._at(position, piece)
        # A call known only by its ID may get its index later; a different index means another call.
        if call is not None and call.index in (None, piece.index):
            return call
        call = self._by_index.get(piece.index)
        return None if call is None or _begins_another(call, piece) else call

    def _at(self, position: int, piece: Piece) -> Call | None:
        call = self._latest[position] if position < len(self._latest) else None
        if call is None:
            return None
        if piece.id:  # an unknown ID
            goes_on = not piece.name and bool(call.name) and not call.arguments.is_complete
        else:
            goes_on = not (piece.name and call.name and piece.name != call.name) and not _begins_another(call, piece)
        return call if goes_on else None

    def _begin(self, piece: Piece) -> Call:
        is_taken = piece.index in self._by_index
        self.shares_index = self.shares_index or is_taken
        label: object = piece.id or self._begun if piece.index is None or is_taken else piece.index
        self._begun += 1
        return Call(label)

    def _take(self, call: Call, piece: Piece) -> None:
        call.arguments.feed(piece.text)
        if piece.name and piece.name != call.name:
            call.name += piece.name
        call.id = call.id or piece.id
        if piece.index is not None:
            call.index = piece.index
            self._by_index[piece.index] = call
        if piece.id:
            self._by_id.setdefault(piece.id, call)


def _begins_another(call: Call, piece: Piece) -> bool:
    """Tell whether a piece with the index of a call, or at its position, starts a new one."""
    if not piece.name or not call.name:
        return False
    is_new = bool(piece.id and call.id and piece.id != call.id)
    has_arguments = call.arguments.size > 0
    if piece.name != call.name:
        return is_new or has_arguments
    if is_new:
        return not has_arguments or call.arguments.is_complete
    is_known = bool(piece.id) and piece.id == call.id
    return call.arguments.is_complete and not is_known and bool(piece.text.strip())


class ToolCalls:
    """Merge the elements of `tool_calls`."""

    def __init__(self, doubts: Doubts | None = None) -> None:
        self._doubts: Doubts = {} if doubts is None else doubts
        self._router = Router()
        self._calls: dict[int, _Gathered] = {}

    def feed(self, pieces: list[object]) -> None:
        """Add the `tool_calls` of one delta."""
        for value, piece, call in self._router.route(pieces):
            gathered = self._calls.get(id(call))
            if gathered is None:
                gathered = self._calls[id(call)] = _Gathered(call, self._doubts)
            gathered.feed(value, piece)
        if self._router.shares_index:
            self._doubts[SAME_INDEX] = None

    def result(self) -> list[dict[str, object]]:
        """Return the calls as an unstreamed answer has them: by index or else in order of appearance.

        They have no `index`.
        """
        calls = list(self._calls.values())
        indexes = [number if each.call.index is None else each.call.index for number, each in enumerate(calls)]
        return [calls[number].result() for number in sorted(range(len(calls)), key=indexes.__getitem__)]


class _Gathered:
    def __init__(self, call: Call, doubts: Doubts) -> None:
        self.call = call
        self._doubts = doubts
        self._fields = Pieces(doubts, joins=True, appends=True)

    def feed(self, value: Mapping[str, object], piece: Piece) -> None:
        """Add a piece, before the call is updated with it."""
        if self.call.arguments.is_complete and piece.text.strip():
            is_repeated = len(piece.text) == self.call.arguments.size and piece.text == self._arguments()
            self._doubts[REPEATED if is_repeated else GOES_ON] = None
            if is_repeated:
                value = {
                    **value,
                    **{name: _without(value[name], key) for name, key in _ARGUMENT_KEYS.items() if name in value},
                }
        self._fields.feed(value, without=("index",))

    def _arguments(self) -> str:
        found = ((self._fields.within(name), key) for name, key in _ARGUMENT_KEYS.items())
        return next((pieces.text(key) for pieces, key in found if pieces is not None), "")

    def result(self) -> dict[str, object]:
        result = self._fields.result()
        for name, key in _ARGUMENT_KEYS.items():
            body = result.get(name)
            if isinstance(body, dict):
                if self.call.name:
                    body["name"] = self.call.name
                if body.get(key) is None:
                    body[key] = ""
                if not result.get("type"):
                    result["type"] = name
        return _in_order(result)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _without(body: object, key: str) -> object:
    return {name: value for name, value in body.items() if name != key} if isinstance(body, dict) else body


def _in_order(result: dict[str, object]) -> dict[str, object]:
    """Return a call with its body last."""
    return dict(sorted(result.items(), key=lambda item: item[0] in _ARGUMENT_KEYS))
