"""The responses endpoint: `input` and `instructions`, and a `response` with `output` items.

An answer that MoonPalace ends because of a loop ends with the events that close its open texts, parts and messages, and
`response.completed`, since clients try again after other last events. Its response has status "incomplete", for the
reason "repeat"; a tool call whose arguments are incomplete is not closed, so that clients do not run it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import override

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.completion import truncated
from moonpalace_addons.wire.chat.deviations import wrong_arguments, wrong_usage
from moonpalace_addons.wire.chat.request_edit import ask_for_stream
from moonpalace_addons.wire.chat.text_matcher import OnlyText, TextDelta, TextRun
from moonpalace_addons.wire.chat.text_template import Kind
from moonpalace_addons.wire.faces.face import REPEAT, Channel, Channels, Edited, Face, Fields, Merger, named_part
from moonpalace_addons.wire.faces.lanes import Lanes
from moonpalace_addons.wire.faces.progress import Progress
from moonpalace_addons.wire.faces.responses_merging import (
    LAST,
    PREFIX,
    TEXTS,
    WHOLE_TYPES,
    Item,
    Part,
    ResponseMerger,
)
from moonpalace_addons.wire.json_value import mapping, parse_bounded, text_in

LAST_TYPES = tuple(PREFIX + name for name in LAST)
"""Types of the final events; the streams have no `[DONE]`."""
NO_LAST = "the stream ended without response.completed or another last event: clients report an answer that broke off"

LIMIT = "max_output_tokens"
"""The limit of a request, and the reason why a response is incomplete."""
_DELTAS = {f"{PREFIX}{name}.delta": name for name in TEXTS}
_REASONING = ("reasoning_text", "reasoning_summary_text")
_KINDS = (
    dict.fromkeys(TEXTS, "tool call")
    | dict.fromkeys(_REASONING, "reasoning")
    | {"output_text": "content", "refusal": "refusal"}
)
"""The kinds of texts, in words for people."""
JOINED = {*_DELTAS, *WHOLE_TYPES, "error"}
"""The types of events whose texts are all in the merged answer, which makes a split secret visible."""
_UNFINISHED = ("in_progress", "queued")
_CALLS = ("function_call", "custom_tool_call")
_VARYING: Mapping[str, Kind] = {"sequence_number": "number", "obfuscation": "padding"}
_DELTA_MEMBERS = {
    *("type", "item_id", "output_index", "content_index", "summary_index", "delta", "logprobs"),
    *_VARYING,
}
"""The members of events that only add a text."""
_CLOSED = ("message", "reasoning")
"""The types of items that are closed when an answer is ended early."""


class Responses(Face):
    """`/v1/responses`."""

    name = "responses"
    paths = ("/responses",)
    part = "output item"
    is_streamed = True
    no_end = NO_LAST

    @override
    def ask_for_stream(self, body: bytes) -> Edited | None:
        if mapping(parse_bounded(body)).get("background") is True:
            return None  # it is answered immediately, before the response is made
        changed = ask_for_stream(body, with_usage=False)
        return None if changed is None else Edited(changed, "stream set to true")

    @override
    def owns(self, value: Fields) -> bool:
        kind = value.get("type")
        return (isinstance(kind, str) and kind.startswith(PREFIX)) or value.get("object") == "response"

    @override
    def make_merger(self) -> Merger:
        return ResponseMerger()

    @override
    def joins(self, value: Fields) -> bool:
        return text_in(value, "type") in JOINED

    @override
    def make_progress(self) -> Progress:
        return ResponseProgress()

    @override
    def make_channels(self) -> Channels:
        return ResponseChannels()

    @override
    def token_channel(self, value: object) -> Channel | None:
        if isinstance(value, TextDelta):
            return ("reasoning" if value.channel.startswith(_REASONING) else "visible") if value.text else None
        event = mapping(value)
        kind = event.get("type")
        name = _DELTAS.get(kind) if isinstance(kind, str) else None
        if name is None:
            is_call = kind == f"{PREFIX}output_item.added" and text_in(mapping(event.get("item")), "name")
            return "visible" if is_call else None
        return ("reasoning" if name in _REASONING else "visible") if event.get("delta") else None

    @override
    def only_text(self, value: object) -> OnlyText | None:
        event = mapping(value)
        piece = _text_of(event)
        if piece is None or not piece[2] or not event.keys() <= _DELTA_MEMBERS or event.get("logprobs"):
            return None
        index = TEXTS[piece[1].partition(".")[0]].index
        if not all(type(event.get(name)) is int for name in filter(None, ("output_index", index))):
            return None
        return OnlyText(*piece, "delta", {name: kind for name, kind in _VARYING.items() if name in event})

    @override
    def event_parts(self, value: Fields) -> Iterator[tuple[str, str]]:
        kind, delta = text_in(value, "type"), value.get("delta")
        if isinstance(delta, str):
            yield _KINDS.get(_DELTAS.get(kind or "", ""), kind or "delta"), delta
        elif kind == f"{PREFIX}completed":
            yield "done", ""
        else:
            yield from named_part(value, "item")

    @override
    def make_lanes(self) -> Lanes:
        return Lanes()

    @override
    def answer_id(self, answer: Fields) -> str | None:
        return text_in(_response(answer), "id")

    @override
    def finish_reason(self, answer: Fields) -> str | None:
        response = _response(answer)
        status = text_in(response, "status")
        reason = text_in(mapping(response.get("incomplete_details")), "reason")
        return reason or (None if status in _UNFINISHED else status)

    @override
    def warnings(self, request: Fields, answer: Fields, *, streamed: bool) -> Iterator[str]:
        if self.finish_reason(answer) == LIMIT:
            yield truncated(request, answer, at_limit=True, streamed=streamed, limit=LIMIT)
        output = answer.get("output")
        for place, item in enumerate(map(mapping, output if isinstance(output, list) else ())):
            if item.get("type") in _CALLS and not item.get("call_id"):
                yield f"output[{place}] has no call_id: clients cannot say which call a result belongs to"
            if item.get("type") == "function_call" and answer.get("status") == "completed":
                yield from wrong_arguments(f"output[{place}]", item)
        yield from wrong_usage(mapping(answer.get("usage")), ("input", "output"))


class ResponseProgress(Progress):
    """The progress of a stream of `response.…` events, and the response so far."""

    def __init__(self) -> None:
        super().__init__()
        self._merger = ResponseMerger()
        self._number: int | None = None

    @override
    def read(self, value: Fields) -> None:
        kind = value.get("type")
        self._merger.feed(value)
        self.has_content = bool(self._merger.items)
        self.is_done = self.is_done or kind in LAST_TYPES
        number = value.get("sequence_number")
        self._number = number if isinstance(number, int) else self._number

    @override
    def feed(self, value: object, error: ApiError | None = None) -> None:
        if isinstance(value, TextDelta | TextRun):
            self._merger.feed(value)
            if self._number is not None:
                self._number += len(value.texts) if isinstance(value, TextRun) else 1
        super().feed(value, error)

    @override
    def ending(self) -> list[object]:
        """Return the events that close all open items, and the last event."""
        closing = [event for number, item in self._merger.items for event in _closing(number, item)]
        for event in closing:
            self._merger.feed(event)
        response = {**self._merger.result(), "status": "incomplete", "incomplete_details": {"reason": REPEAT}}
        return self._numbered([*closing, {"type": f"{PREFIX}completed", "response": response}])

    def _numbered(self, events: Sequence[dict[str, object]]) -> list[object]:
        """Continue the numbering of the events, if the stream's own events are numbered."""
        if self._number is None:
            return list(events)
        return [{**event, "sequence_number": number} for number, event in enumerate(events, self._number + 1)]


class ResponseChannels:
    """The texts of a stream, by output item; channels have the names of events, and the index of the part unless 0."""

    def texts(self, value: object) -> Iterator[tuple[int, str, str]]:
        """Yield the item, its channel and a piece of text for an event that has one."""
        event = mapping(value)
        piece = _text_of(event)
        if piece is not None and piece[2]:
            yield piece


def _text_of(event: Fields) -> tuple[int, str, str] | None:
    """Return the item, its channel and the piece of text in an event; None if it has none."""
    kind, text = event.get("type"), event.get("delta")
    name = _DELTAS.get(kind) if isinstance(kind, str) else None
    if name is None or not isinstance(text, str):
        return None
    part, number = event.get(TEXTS[name].index), event.get("output_index")
    return number if isinstance(number, int) else 0, f"{name}.{part}" if part else name, text


def _closing(number: int, item: Item) -> Iterator[dict[str, object]]:
    """Yield the events that close an item if it is open and not a tool call."""
    kind, ident = item.fields.get("type"), item.fields.get("id")
    if item.is_done or kind not in _CLOSED:
        return
    where = {"item_id": ident, "output_index": number}
    for member, parts in item.parts.items():
        for index, part in parts.items():
            yield from _closing_part(member, {**where, _index_of(member): index}, part)
    yield {
        "type": f"{PREFIX}output_item.done",
        "output_index": number,
        "item": {**item.result({}), **({"status": "incomplete"} if kind == "message" else {})},
    }


def _closing_part(member: str, where: Mapping[str, object], part: Part) -> Iterator[dict[str, object]]:
    if part.is_done:
        return
    result = part.result({})
    for name, place in TEXTS.items():
        text = part.texts.get(place.key)
        if text is not None and text.whole is None and (place.member, place.type) == (member, result.get("type")):
            logprobs: dict[str, object] = {"logprobs": []} if name == "output_text" else {}
            yield {"type": f"{PREFIX}{name}.done", **where, place.key: result[place.key], **logprobs}
    name = "content_part" if member == "content" else "reasoning_summary_part"
    yield {"type": f"{PREFIX}{name}.done", **where, "part": result}


def _index_of(member: str) -> str:
    return "content_index" if member == "content" else "summary_index"


def _response(value: Fields) -> Fields:
    """Return the response, which most events contain as a member."""
    return mapping(value.get("response")) or value


RESPONSES = Responses()
