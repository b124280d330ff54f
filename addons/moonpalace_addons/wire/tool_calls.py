"""Gather the tool calls of one message from its deltas.

A piece belongs to the call with its `index`; without one, to the call with its `id`; without either, to the call that
stood at its position in the latest list that named its calls (by index, by id or by beginning them). A piece with
neither begins a call where none stands at its position, or one with another function name. Every call stays open:
pieces of an earlier one may come after a later one has begun.
"""

from collections.abc import Mapping

from moonpalace_addons.wire.pieces import Pieces, index_of


class ToolCalls:
    """Gather the elements of `tool_calls`."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._latest: list[_Call] = []

    def feed(self, pieces: list[object]) -> None:
        """Take in the `tool_calls` of one delta."""
        touched = []
        begun = len(self._calls)
        named = False
        for position, piece in enumerate(pieces):
            if not isinstance(piece, dict):
                continue
            index, ident = index_of(piece), _id_of(piece)
            call = self._find(index, ident) if index is not None or ident else self._at(position, piece)
            call = call or self._begin()
            call.feed(piece)
            self._bind(call, index, ident)
            named = named or index is not None or bool(ident)
            touched.append(call)
        if named or len(self._calls) > begun:
            self._latest = touched

    def result(self) -> list[dict[str, object]]:
        """Return the calls as an answer without streaming has them: by index or else as they began, without `index`."""
        keys = [(number if call.index is None else call.index, number) for number, call in enumerate(self._calls)]
        return [self._calls[number].result() for _, number in sorted(keys)]

    def _find(self, index: int | None, ident: str) -> "_Call | None":
        call = self._by_id.get(ident)
        if index is None:
            return call
        # A call that has only been known by its id may get its index later; one with another index is another call.
        return self._by_index.get(index) or (call if call is not None and call.index is None else None)

    def _at(self, position: int, piece: Mapping[str, object]) -> "_Call | None":
        if position >= len(self._latest):
            return None
        call = self._latest[position]
        name = _name_of(piece)
        return None if name and call.name and name != call.name else call

    def _begin(self) -> "_Call":
        call = _Call()
        self._calls.append(call)
        return call

    def _bind(self, call: "_Call", index: int | None, ident: str) -> None:
        if index is not None:
            call.index = index
            self._by_index[index] = call
        if ident:
            self._by_id.setdefault(ident, call)


class _Call:
    def __init__(self) -> None:
        self.index: int | None = None
        self._fields = Pieces()
        self._function: Pieces | None = None

    @property
    def name(self) -> object:
        return self._function.get("name") if self._function else None

    def feed(self, piece: Mapping[str, object]) -> None:
        self._fields.feed(piece, without=("index", "function"))
        function = piece.get("function")
        if isinstance(function, dict):
            self._function = self._function or Pieces()
            self._function.feed(function)

    def result(self) -> dict[str, object]:
        result = self._fields.result()
        if self._function is None:
            return result
        function = self._function.result()
        if function.get("arguments") is None:
            function["arguments"] = ""
        if not result.get("type"):
            result["type"] = "function"
        return {**result, "function": function}


def _id_of(piece: Mapping[str, object]) -> str:
    ident = piece.get("id")
    return ident if isinstance(ident, str) else ""


def _name_of(piece: Mapping[str, object]) -> object:
    function = piece.get("function")
    return function.get("name") if isinstance(function, dict) else None
