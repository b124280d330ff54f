"""The two sides of a call as text for mitmproxy's content views.

Both functions return None for a body that is not of the form that its path implies; mitmproxy's own views show it then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moonpalace_addons.views.chat_text import EMPTY, Line, answer_lines, harmless, heading, plain_text, turn_lines
from moonpalace_addons.views.completions import merged, parsed
from moonpalace_addons.views.conversation import Conversation, conversation, usage_line
from moonpalace_addons.views.durations import duration
from moonpalace_addons.views.parameters import parameter_lines
from moonpalace_addons.views.timeline import Moment, Run, longest, moments, runs
from moonpalace_addons.wire.columns import shortened
from moonpalace_addons.wire.faces.summary import summarize
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.forms import MAX_HEAD, Form, form_of
from moonpalace_addons.wire.json_value import mapping

MAX_SIZE = 2_000_000
"""Maximum bytes of a body that are shown: the page waits for the text, and so do calls."""
MAX_EVENTS = 3_000
"""Maximum events of a stream whose times are shown: reading them takes longer than merging all of them."""
MAX_SHOWN_HEAD = 2_000
"""Maximum characters shown of a body that is too large to be parsed."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Information on a call besides its bodies; `row_id` is the number of its row."""

    row_id: int | None = None
    ending: str = ""
    """Why the call failed, that it is still running, or how long it took."""
    price: str = ""
    warnings: Sequence[str] = ()
    times: Sequence[tuple[int, int]] = ()
    """Pairs of the offset after each chunk of the answer and nanoseconds since the request began."""
    cut: int = 0
    """Number of bytes of the body that were removed from the flow."""


def request_text(path: str, body: bytes, info: CallInfo) -> str | None:
    """Return the parameters and the messages of a request."""
    if info.cut or len(body) > MAX_SIZE:
        return beginning(body, info)
    request = mapping(parsed(body))
    turns = conversation(path, request, None).request_turns if request else ()
    if not turns:
        return None
    lines = [*parameter_lines(request), EMPTY]
    for turn in turns:
        lines += turn_lines(turn)
    return plain_text(lines).rstrip()


def response_text(path: str, body: bytes, content_type: str | None, info: CallInfo) -> str | None:
    """Return the answer received so far; for a stream, the merged message followed by its events."""
    if form_of(body[:MAX_HEAD], content_type, is_over=True) is Form.EVENTS:
        return stream_text(path, body[:MAX_SIZE], info)
    if info.cut or len(body) > MAX_SIZE:
        return beginning(body, info)
    answer = parsed(body)
    chat = conversation(path, None, answer)
    if not mapping(answer) or any(turn.role == "answer" and is_unread(turn.parts) for turn in chat.answer_turns):
        return None
    return plain_text(whole_answer(path, answer, chat, info))


def is_unread(parts: Sequence[object]) -> bool:
    """Return whether an answer has an unknown form and is shown as JSON."""
    return any(getattr(part, "kind", "") == "json" for part in parts)


def stream_text(path: str, body: bytes, info: CallInfo) -> str | None:
    """Return the answer merged from the events, followed by their times; None if nothing could be merged."""
    answer = merged(body, path)
    if answer is None:
        return None
    lines = [*whole_answer(path, answer, conversation(path, None, answer), info), EMPTY]
    events = moments(body, info.times, path, MAX_EVENTS)
    return plain_text([*lines, *timeline_lines(events, is_cut=len(events) == MAX_EVENTS)])


def whole_answer(path: str, answer: object, chat: Conversation, info: CallInfo) -> Iterator[Line]:
    """Yield an answer with the way it ended, its tokens and its warnings."""
    summary = summarize(answer)
    reasons = ", ".join(face_of(path, [answer]).finish_reasons(mapping(answer)))
    note = ", ".join(filter(None, (f"finish reason {reasons}" if reasons else "", info.ending)))
    yield heading(f"answer of {summary.model or 'the API'}", note, "assistant", rule="══")
    yield from answer_lines(chat.answer_turns)
    yield EMPTY
    if facts := " · ".join(filter(None, (usage_line(answer), f"cost {info.price}" if info.price else ""))):
        yield Line(facts, "quiet")
    for warning in info.warnings:
        yield Line(f"warning: {harmless(warning)}", "note")
    if info.cut:
        yield Line(f"warning: only the beginning is shown; {hint(info)}", "note")


def beginning(body: bytes, info: CallInfo) -> str:
    """Return the beginning of a body that is too large to be parsed, and say how to see all of it."""
    text = body[:MAX_SHOWN_HEAD].decode("utf-8", "replace")
    size = len(body) + info.cut
    return f"{size:,} bytes, which is too much to show here; {hint(info)}\n\n{harmless(text)}…"


def hint(info: CallInfo) -> str:
    """Return the command that shows the whole body."""
    name = "ID" if info.row_id is None else info.row_id
    return f"mpal inspect {name} --chat shows all of it"


TEXT_WIDTH = 80
MAX_LINES = 500


def timeline_lines(events: Sequence[Moment], *, is_cut: bool = False) -> Iterator[Line]:
    """Yield a heading that summarizes the stream, and a line for each event or run of similar events.

    `is_cut` means that only the first events are given.
    """
    worst = longest(events)
    stall = "" if worst is None else f", longest stall {duration(worst.gap)} before event {worst.number}"
    count = f"the first {len(events)}" if is_cut else f"{len(events)}"
    yield Line(f"── {count} {'event' if len(events) == 1 else 'events'}{stall}", "heading")
    lines = runs(events)
    for run in lines[:MAX_LINES]:
        yield Line(run_text(run, is_stalled=worst is not None and run.first is worst), "code", "  ")
    if len(lines) > MAX_LINES:
        yield Line(f"… {len(lines) - MAX_LINES} more", "quiet", "  ")


def run_text(run: Run, *, is_stalled: bool) -> str:
    """Return a line with number, time, preceding gap, kind and text of an event or a run of events."""
    mark = "<" if is_stalled else " "
    cells = f"{run.numbers:>11} {run.times:>14} {duration(run.first.gap):>7}{mark} {run.kind:<16}"
    return f"{cells} {shortened(harmless(run.text), TEXT_WIDTH)}".rstrip()
