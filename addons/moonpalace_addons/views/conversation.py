"""The conversation of a request and its answer, for any view of a call."""

from collections.abc import Sequence
from dataclasses import dataclass

from moonpalace_addons.wire.faces.summary import summarize
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.faces.turns import Part, Turn


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a request, preceded by one with the names of the tools, and of its answer: one for each choice."""

    request_turns: Sequence[Turn]
    answer_turns: Sequence[Turn]

    @property
    def answer_parts(self) -> list[Part]:
        """The parts of the answer, in order."""
        return [part for turn in self.answer_turns for part in turn.parts]


def conversation(path: str, request: object, answer: object) -> Conversation:
    """Return the conversation of a call to `path`; the request and the answer are parsed JSON."""
    face = face_of(path, [answer])
    return Conversation(face.request_turns(request), face.answer_turns(answer))


def usage_line(answer: object) -> str:
    """Return the token counts of the answer in one line; empty if it has none."""
    usage = summarize(answer).usage
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return ""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    reasoning = f" ({usage.reasoning_tokens} of reasoning)" if usage.reasoning_tokens else ""
    total = "" if usage.total_tokens is None else f" = {usage.total_tokens}"
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return f"tokens: {prompt} prompt{cached} + {completion} completion{reasoning}{total}"
