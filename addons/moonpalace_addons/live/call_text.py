"""The two sides of a call as text for mitmproxy's content views.

Both functions return None for a body that is not what its path says, so that mitmproxy's own views show it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moonpalace_addons.views.chat_text import EMPTY, Line, answer_lines, harmless, heading, plain_text, turn_lines
from moonpalace_addons.views.completions import merged, parsed
from moonpalace_addons.views.conversation import Conversation, conversation, usage_line
from moonpalace_addons.views.parameters import parameter_lines
from moonpalace_addons.views.timeline import moments
from moonpalace_addons.views.timeline_text import timeline_lines
from moonpalace_addons.wire.faces.summary import summarize
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.forms import MAX_HEAD, Form, form_of
from moonpalace_addons.wire.json_value import mapping

MAX_SIZE = 2_000_000
"""Bytes of a body that are shown: the page waits for the text, and so do calls."""
MAX_EVENTS = 3_000
"""Events of a stream whose times are shown: reading them takes longer than merging all."""
MAX_SHOWN_HEAD = 2_000
"""Characters that are shown of a body that is too large to be read."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a call beside its bodies; `row_id` is the number of its row."""

    row_id: int | None = None
    ending: str = ""
    """Why the call failed, or that it is still running."""
    price: str = ""
    warnings: Sequence[str] = ()
    times: Sequence[tuple[int, int]] = ()
    """Offset after each chunk of the answer, and nanoseconds since the request began."""
    cut: int = 0
    """Bytes of the body that are not kept here."""


def request_text(path: str, body: bytes, told: Told) -> str | None:
    """Return the parameters and the messages of a request."""
    if told.cut or len(body) > MAX_SIZE:
        return beginning(body, told)
    request = mapping(parsed(body))
    asked = conversation(path, request, None).asked if request else ()
    if not asked:
        return None
    lines = [*parameter_lines(request), EMPTY]
    for turn in asked:
        lines += turn_lines(turn)
    return plain_text(lines).rstrip()


def response_text(path: str, body: bytes, content_type: str | None, told: Told) -> str | None:
    """Return what a model answered, as far as it has come; for a stream the merged message, then its events."""
    if form_of(body[:MAX_HEAD], content_type, is_over=True) is Form.EVENTS:
        return stream_text(path, body[:MAX_SIZE], told)
    if told.cut or len(body) > MAX_SIZE:
        return beginning(body, told)
    answer = parsed(body)
    said = conversation(path, None, answer)
    if not mapping(answer) or any(turn.role == "answer" and is_unread(turn.parts) for turn in said.answered):
        return None
    return plain_text(whole_answer(path, answer, said, told))


def is_unread(parts: Sequence[object]) -> bool:
    """Tell whether an answer is of an unknown form, shown as JSON."""
    return any(getattr(part, "kind", "") == "json" for part in parts)


def stream_text(path: str, body: bytes, told: Told) -> str | None:
    """Return the answer merged from events, and when they came; None if nothing could be merged."""
    answer = merged(body, path)
    if answer is None:
        return None
    lines = [*whole_answer(path, answer, conversation(path, None, answer), told), EMPTY]
    found = moments(body, told.times, path, MAX_EVENTS)
    return plain_text([*lines, *timeline_lines(found, is_cut=len(found) == MAX_EVENTS)])


def whole_answer(path: str, answer: object, said: Conversation, told: Told) -> Iterator[Line]:
    """Yield an answer with its ending, its tokens and its warnings."""
    summary = summarize(answer)
    reasons = ", ".join(face_of(path, [answer]).finish_reasons(mapping(answer)))
    note = ", ".join(filter(None, (f"finish reason {reasons}" if reasons else "", told.ending)))
    yield heading(f"answer of {summary.model or 'the API'}", note, "assistant", rule="══")
    yield from answer_lines(said.answered)
    yield EMPTY
    if facts := " · ".join(filter(None, (usage_line(answer), f"cost {told.price}" if told.price else ""))):
        yield Line(facts, "quiet")
    for warning in told.warnings:
        yield Line(f"warning: {harmless(warning)}", "note")
    if told.cut:
        yield Line(f"warning: only the beginning is shown; {the_rest(told)}", "note")


def beginning(body: bytes, told: Told) -> str:
    """Return the beginning of a body that is too large to be read, with where the rest is."""
    text = body[:MAX_SHOWN_HEAD].decode("utf-8", "replace")
    size = len(body) + told.cut
    return f"{size:,} bytes, which is too much to show here; {the_rest(told)}\n\n{harmless(text)}…"


def the_rest(told: Told) -> str:
    """Return where the whole body is."""
    name = "ID" if told.row_id is None else told.row_id
    return f"mpal inspect {name} --chat shows all of it"
