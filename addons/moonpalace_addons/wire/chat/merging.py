"""Merge the chunks of a streamed chat completion into the answer that the API gives without streaming.

    deltas         texts are joined, lists and objects merged (see `wire/chat/pieces.py`)
    identifiers    `id`, `created`, `model`, `role`, … : the first that is not empty
    choices        matched by `index`, else by position
    tool calls     matched by `id`, `index` or position (see `wire/chat/tool_calls.py`)
    logprobs       all lists are extended
    usage          the last at top level; if there is none, the last one in a choice; never added up, and an empty
                   one is used only if there is no other
    error          the first one, kept at top level; one in a choice stays there
    anything else  the last value that is neither null nor an empty text

A chunk that has a `message` instead of a `delta` contains the whole message so far: it replaces the collected one,
unless it has nothing but the role.
"""

from collections.abc import Mapping

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.pieces import Doubts, Pieces, index_of
from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.chat.tool_calls import ToolCalls
from moonpalace_addons.wire.json_value import mapping, parse

DONE = "[DONE]"

_OTHER_API_ERRORS = ("error", "response.failed")
"""Event types that are errors of /anthropic/v1/messages and /v1/responses, unless chat chunks came before."""


class Merger:
    """Merge the chunks of one stream; time and memory are linear in the input.

    Another face with choices overrides `kind`, `owns` and `make_choice`.
    """

    kind = "chat.completion"

    def __init__(self) -> None:
        self._doubts: Doubts = {}
        self._top = Pieces(self._doubts)
        self._choices: dict[int, Choice] = {}
        self._usage: Mapping[str, object] | None = None
        self._choice_usage: Mapping[str, object] | None = None
        self._error: ApiError | None = None
        self._has_chunks = False

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing fed belonged to a chat completion, not even an error."""
        return not self._has_chunks and self._error is None

    @property
    def doubts(self) -> list[str]:
        """Return the ambiguities of the stream that the result had to resolve, in words."""
        return list(self._doubts)

    def feed(self, value: object, error: ApiError | None = None) -> None:
        """Add the parsed JSON of one event, and the error that it reports; ignore other values than chat chunks."""
        if isinstance(value, TextDelta):
            self._choice(value.choice).texts.add_text(value.channel, value.text)
            return
        if isinstance(value, TextRun):
            self._choice(value.choice).texts.add_texts(value.channel, value.texts)
            return
        chunk = mapping(value)
        is_chunk = self.owns(chunk)
        self._has_chunks = self._has_chunks or is_chunk
        if error is not None and error.ends and (self._has_chunks or chunk.get("type") not in _OTHER_API_ERRORS):
            self._error = self._error or error
        if is_chunk:
            self._take_chunk(chunk)

    def _take_chunk(self, chunk: Mapping[str, object]) -> None:
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._usage = usage or self._usage or usage
        self._top.feed(chunk, without=("choices", "usage", "error"))
        choices = chunk.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                self._take_choice(position, choice)

    def result(self) -> dict[str, object]:
        """Return the `chat.completion` merged so far; for an error alone, `{"error": …}`."""
        error = {} if self._error is None else {"error": self._error.member}
        if not self._has_chunks:
            return error
        usage = self._usage or (self._usage if self._choice_usage is None else self._choice_usage)
        return {
            **self._top.result(),
            "object": self.kind,
            "choices": [choice.result(index) for index, choice in sorted(self._choices.items())],
            **({} if usage is None else {"usage": usage}),
            **error,
        }

    def _take_choice(self, position: int, choice: Mapping[str, object]) -> None:
        index = index_of(choice)
        number = position if index is None else index
        self._choice(number).feed(choice)
        usage = choice.get("usage")
        if isinstance(usage, dict):
            self._choice_usage = usage or self._choice_usage or usage

    def _choice(self, number: int) -> "Choice":
        found = self._choices.get(number)
        if found is None:
            found = self._choices[number] = self.make_choice(self._doubts)
        return found

    def owns(self, chunk: Mapping[str, object]) -> bool:
        """Tell whether an event has chunks of the answer."""
        return is_chat_chunk(chunk)

    def make_choice(self, doubts: Doubts) -> "Choice":
        """Return a choice that is empty."""
        return Choice(doubts)


def parse_data(data: str) -> object:
    """Return the JSON value of an event's data; None for `[DONE]` and anything else that is not JSON."""
    return None if data.strip() == DONE else parse(data)


class Choice:
    """Merge one choice; `fields` are its members but for the message."""

    def __init__(self, doubts: Doubts) -> None:
        self._doubts = doubts
        self.fields = Pieces(doubts, appends=True)
        self._message = _Message(doubts)
        self._logprobs: _Logprobs | None = None

    def feed(self, choice: Mapping[str, object]) -> None:
        """Add what a chunk has of it."""
        message, delta = choice.get("message"), choice.get("delta")
        if isinstance(message, dict) and message:
            if any(value for key, value in message.items() if key != "role"):
                self._message = _Message(self._doubts)
            self._message.feed(message)
        elif isinstance(delta, dict):
            self._message.feed(delta)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            self._logprobs = self._logprobs or _Logprobs()
            self._logprobs.feed(logprobs)
            choice = {**choice, "logprobs": None}
        self.fields.feed(choice, without=("index", "delta", "message", "usage"))

    @property
    def texts(self) -> Pieces:
        """Return the fields of its message."""
        return self._message.fields

    def result(self, index: int) -> dict[str, object]:
        """Return the choice."""
        return {
            "index": index,
            "message": self._message.result(),
            "finish_reason": None,
            **self.fields.result(),
            **({} if self._logprobs is None else {"logprobs": self._logprobs.result()}),
        }


class _Message:
    def __init__(self, doubts: Doubts) -> None:
        self._doubts = doubts
        self.fields = Pieces(doubts, joins=True, appends=True)
        self._tool_calls: ToolCalls | None = None

    def feed(self, delta: Mapping[str, object]) -> None:
        tool_calls = delta.get("tool_calls")
        if isinstance(tool_calls, list):
            self._tool_calls = self._tool_calls or ToolCalls(self._doubts)
            self._tool_calls.feed(tool_calls)
            delta = {**delta, "tool_calls": None}
        self.fields.feed(delta)

    def result(self) -> dict[str, object]:
        result = {"role": None, "content": None, **self.fields.result()}
        result["role"] = result["role"] or "assistant"
        if self._tool_calls is not None:
            result["tool_calls"] = self._tool_calls.result()
        return result


class _Logprobs:
    def __init__(self) -> None:
        self._fields = Pieces()
        self._lists: dict[str, list[object]] = {}

    def feed(self, logprobs: Mapping[str, object]) -> None:
        lists = {key: value for key, value in logprobs.items() if isinstance(value, list)}
        self._fields.feed(logprobs, without=tuple(lists))
        for key, tokens in lists.items():
            self._lists.setdefault(key, []).extend(tokens)

    def result(self) -> dict[str, object]:
        return {**self._fields.result(), **{key: list(tokens) for key, tokens in self._lists.items()}}


def is_chat_chunk(chunk: Mapping[str, object]) -> bool:
    """Tell whether an event belongs to a chat completion."""
    name = chunk.get("object")
    if name == "text_completion":
        return False
    if "choices" in chunk or (isinstance(name, str) and name.startswith("chat.completion")):
        return True
    # Events of the other endpoints, /v1/responses and /anthropic, all have a `type`.
    return "usage" in chunk and "type" not in chunk
