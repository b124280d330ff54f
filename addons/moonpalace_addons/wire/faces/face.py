"""The protocol of a face: an endpoint of the API that answers with what a model has written.

A face is one module of this folder, with one subclass of `Face`, and one line in `wire/faces/table.py`. What `Face`
itself does is right for an unknown endpoint: nothing is merged, forced or ended early. Usage (`wire/usage.py`) and
errors (`wire/chat/api_error.py`) are found in the same way for all faces.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.text_matcher import OnlyText
from moonpalace_addons.wire.faces import turns
from moonpalace_addons.wire.faces.lanes import Lanes
from moonpalace_addons.wire.faces.progress import Progress
from moonpalace_addons.wire.faces.turns import Turn
from moonpalace_addons.wire.json_value import mapping, text_in

type Fields = Mapping[str, object]
"""A JSON object: a request, an answer, or the data of an event."""

type Channel = Literal["visible", "reasoning"]

REPEAT = "repeat"
"""Finish reason of an answer that MoonPalace ended because of a loop."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A changed request body; `change` says what was changed."""

    body: bytes
    change: str


class Merger(Protocol):
    """The merger of one stream: it merges events into the answer that the API gives without streaming."""

    @property
    def is_empty(self) -> bool:
        """Return whether none of the events belonged to an answer or reported an error."""
        ...

    @property
    def doubts(self) -> Sequence[str]:
        """Describe the ambiguities of the stream that the result had to resolve."""
        ...

    def feed(self, value: object, error: ApiError | None = None) -> None:
        """Add the parsed JSON of one event (or its texts), and the error that it reports; ignore any other value."""
        ...

    def result(self) -> dict[str, object]:
        """Return the answer merged so far."""
        ...


class Channels(Protocol):
    """The channels of one stream: each channel is one growing text."""

    def texts(self, value: object) -> Iterator[tuple[int, str, str]]:
        """Yield part, channel and text for each piece of text in an event; pieces are never empty."""
        ...


class Face:
    """An endpoint of the API.

    `paths` are the ends of its paths, `part` is the name of the parts that `Channels` numbers.
    """

    name = ""
    paths: tuple[str, ...] = ()
    part = "part"
    is_streamed = False
    """Whether the form of its streams is known, so that they can be merged and ended early."""
    no_end = ""
    """The warning for a stream that ended without its last event or mark, for faces that merge streams."""
    error_paths: tuple[str, ...] = ()
    """Path fragments of other endpoints whose errors have the shape of this face's."""
    has_context_caches = False
    """Whether `/v1/caching` and `prompt_cache_key` serve its requests."""

    # Requests

    def ask_for_stream(self, body: bytes) -> Edited | None:
        """Return a request that asks for a stream with usage; None if it must not be changed."""
        return None

    def ask_for_usage(self, body: bytes) -> Edited | None:
        """Return a request that also asks for the usage of its stream; None if that is not needed or not possible."""
        return None

    # Streams

    def owns(self, value: Fields) -> bool:
        """Return whether an answer, or the data of an event, can only belong to this face."""
        return False

    def make_merger(self) -> Merger:
        """Return a merger for one stream."""
        return NoMerger()

    def joins(self, value: Fields) -> bool:
        """Return whether the merged answer joins all texts that an event continues, and so reveals a split secret."""
        return False

    def make_progress(self) -> Progress:
        """Return a new state for one stream."""
        return Progress()

    def make_channels(self) -> Channels:
        """Return new channels for one stream."""
        return NoChannels()

    def token_channel(self, value: object) -> Channel | None:
        """Return the channel of the text in an event, `visible` if it has both; None if it has no text."""
        return None

    def only_text(self, value: object) -> OnlyText | None:
        """Return the part, the channel and the text of an event that only adds a text; None for others.

        Later events that only differ in the text are not parsed: they are passed as `TextDelta` or `TextRun`.
        """
        return None

    def write_events(self, values: Iterable[object]) -> bytes:
        """Return events that end a stream, as the API sends them; here each is named by its type."""
        lines = [f"event: {mapping(value).get('type')}\ndata: {json.dumps(value)}\n\n" for value in values]
        return "".join(lines).encode()

    def event_parts(self, value: Fields) -> Iterator[tuple[str, str]]:
        """Yield the kind (content, reasoning, finish and others) and the text of each content of an event."""
        if kind := text_in(value, "type"):
            yield kind, ""

    # WebSockets

    def make_lanes(self) -> Lanes | None:
        """Return an object that assigns the messages of a WebSocket to calls; None if this face has none."""
        return None

    # Answers

    def answer_id(self, answer: Fields) -> str | None:
        """Return the ID of an answer."""
        return None

    def finish_reason(self, answer: Fields) -> str | None:
        """Return why an answer ended; if it has several reasons, the first one that is not "stop"."""
        return None

    def finish_reasons(self, answer: Fields) -> list[str]:
        """Return why each part of an answer ended; parts without a reason are left out."""
        reason = self.finish_reason(answer)
        return [] if reason is None else [reason]

    def error_answer(self, error: ApiError) -> Fields:
        """Return an error in the form in which the API answers with it without streaming."""
        return {"error": error.member}

    def request_turns(self, request: object) -> list[Turn]:
        """Return the turns of a request, in order, preceded by one with the names of its tools."""
        return turns.request_turns(request)

    def answer_turns(self, answer: object) -> list[Turn]:
        """Return the turns of an answer, or one turn with its error."""
        return turns.answer_turns(answer)

    def warnings(self, request: Fields, answer: Fields, *, streamed: bool) -> Iterable[str]:
        """Return warnings for the user about an answer without an error.

        `streamed` means that the client asked for a stream.
        """
        return ()


def named_part(event: Fields, member: str) -> Iterator[tuple[str, str]]:
    """Yield the type of an event without a text, with the type and the name of what its member describes."""
    child = mapping(event.get(member))
    if kind := text_in(event, "type"):
        yield kind, " ".join(filter(None, (text_in(child, "type"), text_in(child, "name"))))


class NoChannels:
    """The channels of a face without texts."""

    def texts(self, value: object) -> Iterator[tuple[int, str, str]]:
        """Yield nothing."""
        return iter(())


class NoMerger:
    """A merger that ignores everything."""

    is_empty = True
    doubts = ()

    def feed(self, value: object, error: ApiError | None = None) -> None:
        """Ignore an event."""

    def result(self) -> dict[str, object]:
        """Return an empty object."""
        return {}
