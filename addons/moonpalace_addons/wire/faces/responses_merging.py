"""Merge the events of a streamed response into the `response` that the API gives without streaming.

    response.created, .queued, .in_progress        the response so far: the last one counts
    response.completed, .incomplete, .failed       the whole response, which is the answer, and the error beside it
    response.output_item.added, .done              an item, matched by `output_index`, else by `item_id`; servers that
                                                   add two items with the same index are told by the ids
    response.content_part.added, .done             a part of its content, by `content_index`
    response.reasoning_summary_part.added, .done   a part of its summary, by `summary_index`
    response.….delta, .done                        a text of an item (see `TEXTS`), in pieces and then whole
    response.output_text.annotation.added          an annotation of a text
    error                                          the first one, beside what has come

What ends an item, a part or a text has it whole and wins over its pieces. If the last event has no output, what was
gathered is the output; else the two are compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.pieces import Doubts, join_text
from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.json_value import mapping

LAST = ("completed", "incomplete", "failed", "done")
"""The ends of the types of final events, after `response.`; some gateways send "done" for all states."""
_SNAPSHOTS = ("created", "queued", "in_progress", *LAST)
PREFIX = "response."

NO_OUTPUT = "the last event has no output, which is that of the events before"
SAME_INDEX = "several output items had the same index, and are kept apart"
SAME_PART = "several parts of an item had the same index, and are kept apart"
OTHER_COUNT = "the last event has other output items than the events before, and is kept"
OTHER_TEXT = "the last event has other text than the events before, and is kept"
OTHER_PIECES = "the event that ends a text has other text than its pieces, and is kept"


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a text in an item: a member of the item, or a part of the list in that member.

    `index` names the member of events with the index of the part; `key` and `type` are those of the part.
    """

    member: str
    index: str = ""
    key: str = ""
    type: str = ""

    @property
    def name(self) -> str:
        """Return the name of the event's member with the whole text."""
        return self.key or self.member


TEXTS: Mapping[str, Place] = {
    "output_text": Place("content", "content_index", "text", "output_text"),
    "refusal": Place("content", "content_index", "refusal", "refusal"),
    "reasoning_text": Place("content", "content_index", "text", "reasoning_text"),
    "reasoning_summary_text": Place("summary", "summary_index", "text", "summary_text"),
    "function_call_arguments": Place("arguments"),
    "mcp_call_arguments": Place("arguments"),
    "custom_tool_call_input": Place("input"),
    "code_interpreter_call_code": Place("code"),
}
"""The texts that arrive in pieces, by the names of their events."""
_WITHOUT_PIECES = ("output_item", "content_part", "reasoning_summary_part")
WHOLE_TYPES = frozenset(
    PREFIX + name
    for name in (
        *_SNAPSHOTS,
        "output_text.annotation.added",
        *(f"{name}.{action}" for name in _WITHOUT_PIECES for action in ("added", "done")),
        *(f"{name}.done" for name in TEXTS),
    )
)
"""The types of events that never continue a text."""
_ITEM_TEXTS = ("arguments", "input", "code")
_PARTS = {"content_part": TEXTS["output_text"], "reasoning_summary_part": TEXTS["reasoning_summary_text"]}


class ResponseMerger:
    """Merge the events of one response; time and memory are linear in the input."""

    def __init__(self) -> None:
        self._doubts: Doubts = {}
        self._response: Mapping[str, object] = {}
        self._has_begun = self._is_over = False
        self._error: ApiError | None = None
        self.items: list[tuple[int, Item]] = []
        """The output items in order of arrival, each with its index."""
        self._latest: dict[int, Item] = {}
        self._by_id: dict[str, tuple[int, Item]] = {}
        self._growing: dict[tuple[int, str], Text] = {}

    @property
    def is_empty(self) -> bool:
        """Return whether none of the events belonged to a response or reported an error."""
        return not self._has_begun and self._error is None

    @property
    def doubts(self) -> Sequence[str]:
        """Describe the contradictions between the events."""
        self.result()
        return list(self._doubts)

    def feed(self, value: object, error: ApiError | None = None) -> None:
        """Add the parsed JSON of one event (or its texts), and the error that it reports."""
        if isinstance(value, TextDelta | TextRun):
            self._feed_texts(value.choice, value.channel, value.texts if isinstance(value, TextRun) else [value.text])
            return
        event = mapping(value)
        kind = event.get("type")
        if not (isinstance(kind, str) and kind.startswith(PREFIX)):
            if error is not None and error.ends:
                self._error = self._error or error
            return
        self._has_begun = True
        name = kind[len(PREFIX) :]
        if name in _SNAPSHOTS:
            self._response = mapping(event.get("response")) or self._response
            if name == "failed" and event.get("error") and not self._response.get("error"):
                self._response = {**self._response, "error": event["error"]}
            self._is_over = name in LAST
        else:
            self._feed_item(*name.rpartition(".")[::2], event)

    def result(self) -> dict[str, object]:
        """Return the `response` merged so far; for an error alone, `{"error": …}`."""
        error = {} if self._error is None else {"error": self._error.member}
        if not self._has_begun:
            return error
        reported = self._response.get("output")
        in_order = self.items if SAME_INDEX in self._doubts else sorted(self.items, key=itemgetter(0))
        gathered = [item.result(self._doubts) for _, item in in_order]
        if self._is_over and gathered:
            self._compare(gathered, reported if isinstance(reported, list) else [])
        output = reported if self._is_over and reported else gathered or reported or []
        return {"object": "response", **self._response, "output": output, **error}

    def _feed_texts(self, number: int, channel: str, texts: Sequence[str]) -> None:
        text = self._growing.get((number, channel))
        if text is None:
            name, _, part = channel.partition(".")
            event = {"output_index": number, TEXTS[name].index: int(part or 0)}
            text = self._growing[number, channel] = self._item(event).text(TEXTS[name], event)
        text.pieces += texts

    def _feed_item(self, name: str, action: str, event: Mapping[str, object]) -> None:
        is_done = action == "done"
        if name == "output_item":
            self._item(event, is_added=not is_done).set(mapping(event.get("item")), is_done=is_done)
        elif name in _PARTS:
            part = self._item(event).part(_PARTS[name], event, is_added=not is_done)
            part.set(mapping(event.get("part")), is_done=is_done)
        elif name in TEXTS:
            place, item = TEXTS[name], self._item(event)
            item.feed_text(place, event, whole=event.get(place.name) if is_done else None)
            self._note_growing(name, place, event, item)
        elif name == "output_text.annotation":
            self._item(event).part(TEXTS["output_text"], event).annotations.append(event.get("annotation"))

    def _note_growing(self, name: str, place: "Place", event: Mapping[str, object], item: "Item") -> None:
        """Note the text that the latest parsed event continues: the following unparsed events continue the same one."""
        number, part = event.get("output_index"), event.get(place.index)
        if isinstance(number, int):
            self._growing[number, f"{name}.{part}" if part else name] = item.text(place, event)

    def _item(self, event: Mapping[str, object], *, is_added: bool = False) -> "Item":
        """Return the item that an event belongs to; one that adds an item may begin another with the same index."""
        number, ident = event.get("output_index"), event.get("item_id") or mapping(event.get("item")).get("id")
        key = ident if isinstance(ident, str) else ""
        known = self._by_id.get(key)
        if not isinstance(number, int) or isinstance(number, bool):
            number = len(self.items) if known is None else known[0]
        found = known[1] if key and known is not None and known[0] == number else self._latest.get(number)
        if found is not None and is_added and found.is_other(key):
            self._doubts[SAME_INDEX] = None
            found = None
        if found is None:
            found = self._latest[number] = Item()
            self.items.append((number, found))
        self._by_id.setdefault(key, (number, found))
        return found

    def _compare(self, gathered: list[dict[str, object]], output: list[object]) -> None:
        if not output:
            self._doubts[NO_OUTPUT] = None
        elif len(output) != len(gathered):
            self._doubts[OTHER_COUNT] = None
        elif any(
            [*texts_of(ours)] != [*texts_of(mapping(theirs))] for ours, theirs in zip(gathered, output, strict=True)
        ):
            self._doubts[OTHER_TEXT] = None


class Text:
    """One text: its pieces, and the whole text once it has arrived."""

    __slots__ = ("pieces", "whole")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.whole: str | None = None

    def result(self, doubts: Doubts) -> str:
        """Return the text."""
        joined = join_text(self.pieces)
        if self.whole is None:
            return joined
        if joined and joined != self.whole:
            doubts[OTHER_PIECES] = None
        return self.whole


def _set_texts(texts: dict[str, Text], names: Sequence[str], fields: Mapping[str, object], *, is_done: bool) -> None:
    """Set the texts of an event that begins a part or item, to which pieces are added, or of one that ends it."""
    for name in names:
        value = fields.get(name)
        if is_done and isinstance(value, str):
            texts.setdefault(name, Text()).whole = value
        elif isinstance(value, str) and value:
            texts.setdefault(name, Text()).pieces.append(value)


class Part:
    """A part of a content or summary."""

    def __init__(self, place: Place) -> None:
        self.is_done = False
        self.annotations: list[object] = []
        self.logprobs: list[object] = []
        self.texts: dict[str, Text] = {}
        self._fields: dict[str, object] = {"type": place.type}

    def set(self, fields: Mapping[str, object], *, is_done: bool) -> None:
        """Add the members of an event; in an event that ends the part, the text is the whole text."""
        self._fields.update(fields)
        self.is_done = self.is_done or is_done
        _set_texts(self.texts, ("text", "refusal"), fields, is_done=is_done)

    def result(self, doubts: Doubts) -> dict[str, object]:
        """Return the part."""
        texts = {key: text.result(doubts) for key, text in self.texts.items()}
        lists = {"annotations": self.annotations, "logprobs": self.logprobs}
        gathered = {name: found for name, found in lists.items() if found and not self._fields.get(name)}
        return {**self._fields, **texts, **gathered}


class Item:
    """An output item."""

    def __init__(self) -> None:
        self.fields: dict[str, object] = {}
        self.is_done = False
        self.parts: dict[str, dict[int, Part]] = {}
        self.texts: dict[str, Text] = {}
        self._earlier: list[tuple[str, int, Part]] = []
        """Parts that had already ended when another one with their index was added, each with its member and index."""

    def is_other(self, ident: str) -> bool:
        """Return whether an added item with this ID (empty if it has none) is a different item."""
        own = self.fields.get("id")
        if not self.fields or (ident and ident == own):
            return False
        return self.is_done or bool(ident and own)

    def set(self, fields: Mapping[str, object], *, is_done: bool) -> None:
        """Set the members of an event."""
        self.fields = {**self.fields, **fields}
        self.is_done = self.is_done or is_done
        if not is_done:
            _set_texts(self.texts, _ITEM_TEXTS, fields, is_done=False)

    def part(self, place: Place, event: Mapping[str, object], *, is_added: bool = False) -> Part:
        """Return the part that an event belongs to; one that is added with the index of an ended part is a new one."""
        index = event.get(place.index)
        parts = self.parts.setdefault(place.member, {})
        number = index if isinstance(index, int) and not isinstance(index, bool) else max(parts, default=0)
        if is_added and number in parts and parts[number].is_done:
            self._earlier.append((place.member, number, parts.pop(number)))
        return parts.setdefault(number, Part(place))

    def text(self, place: Place, event: Mapping[str, object]) -> Text:
        """Return the text that an event belongs to."""
        if place.index:
            return self.part(place, event).texts.setdefault(place.key, Text())
        return self.texts.setdefault(place.member, Text())

    def feed_text(self, place: Place, event: Mapping[str, object], whole: object) -> None:
        """Add a piece of a text, or the whole text."""
        text, piece, logprobs = self.text(place, event), event.get("delta"), event.get("logprobs")
        if place.index and isinstance(logprobs, list) and whole is None:
            self.part(place, event).logprobs += logprobs
        if isinstance(whole, str):
            text.whole = whole
        elif isinstance(piece, str):
            text.pieces.append(piece)

    def result(self, doubts: Doubts) -> dict[str, object]:
        """Return the item; members of the event that ended it take precedence."""
        texts: dict[str, object] = {name: text.result(doubts) for name, text in self.texts.items()}
        lists = {name: [part.result(doubts) for part in self._in_order(name)] for name in self.parts}
        if self._earlier:
            doubts[SAME_PART] = None
        gathered = {**texts, **lists}
        if self.is_done:
            gathered = {name: value for name, value in gathered.items() if not self.fields.get(name)}
            if [*texts_of({**self.fields, **texts, **lists})] != [*texts_of({**self.fields, **gathered})]:
                doubts[OTHER_PIECES] = None
        return {**self.fields, **gathered}

    def _in_order(self, member: str) -> list[Part]:
        earlier = [(number, part) for name, number, part in self._earlier if name == member]
        return [part for _, part in sorted([*earlier, *self.parts[member].items()], key=itemgetter(0))]


def texts_of(item: Mapping[str, object]) -> Iterator[str]:
    """Yield the texts of an output item."""
    for name in _ITEM_TEXTS:
        if isinstance(text := item.get(name), str):
            yield text
    for name in ("content", "summary"):
        parts = item.get(name)
        for part in map(mapping, parts if isinstance(parts, list) else ()):
            yield from (text for key in ("text", "refusal") if isinstance(text := part.get(key), str))
