"""A report as it is sent: title, text, short form for chats, and the documented JSON of the call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.fields import error_text
from moonpalace_addons.store.records.deliveries import OTHERS, Delivery
from moonpalace_cli.calls.presentation import local_time, metadata
from moonpalace_cli.calls.reading import read_calls
from moonpalace_cli.export import json_document, report
from moonpalace_cli.export.destinations import file_stem
from moonpalace_cli.export.markdown import shortened
from moonpalace_cli.redaction.checking import secrets_in

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_cli.calls.reading import Call
    from moonpalace_cli.redaction.redactor import Redactor

BRIEF_FACTS = (
    "endpoint",
    "model",
    "status",
    "state",
    "finish_reason",
    "chatcmpl",
    "request_id",
    "requested_at",
    "latency",
)
MAX_ERROR = 1000
"""Maximum characters of an error in a chat."""


class DeletedCallError(MoonPalaceError):
    """Raised if the call of a report is no longer stored."""


@dataclass(frozen=True, slots=True)
class Message:
    """A report. `text` is Markdown without the title, `brief` a few lines of plain text, `document` the call as JSON.

    `marker` identifies the report at its destination; its files are named `stem`.
    """

    title: str
    text: str = field(repr=False)
    brief: str = field(repr=False)
    document: str = field(repr=False)
    call: int
    file: str
    calls: int = 1
    marker: str = ""

    @property
    def stem(self) -> str:
        """Return the name of its files, without their endings."""
        return f"{self.file}-{self.marker[:8]}"


def compose_for(engine: Engine, delivery: Delivery, redactor: Redactor | None) -> Message:
    """Return the report of a delivery, with the number of calls that it covers; raise the exceptions of `compose`."""
    message = compose(engine, delivery.exchange_id, redactor)
    remark = stands_for(delivery)
    text, brief = (
        f"{remark}{end}{each}" if remark else each for end, each in (("\n\n", message.text), ("\n", message.brief))
    )
    return replace(message, text=text, brief=brief, calls=delivery.calls, marker=delivery.marker)


def compose(engine: Engine, number: int | None, redactor: Redactor | None, *, allow_secrets: bool = False) -> Message:
    """Return the report of a call, without a marker.

    Raise DeletedCallError, or MoonPalaceError for a secret that no redactor replaces.
    """
    call = next(read_calls(engine, [] if number is None else [number], timed=True), None)
    if call is None:
        raise DeletedCallError("its call is not stored any more")
    if redactor is not None:
        call = redactor.redact(call)
    elif not allow_secrets and (secrets := secrets_in(call)):
        raise MoonPalaceError(
            f"call {number} seems to contain a secret: {secrets[0]}; without --no-redact secrets are replaced, "
            "--allow-secrets sends it unchanged"
        )
    _, _, text = report.report(call).partition("\n\n")  # the first line is the title
    document, brief = json_document.document(call), "\n".join(brief_lines(call))
    return Message(report.title(call), text, brief, document, call.exchange.id, file_stem(call.exchange))


def stands_for(delivery: Delivery) -> str:
    """Return how many calls a rule's report covers; empty for one that was sent by hand."""
    if delivery.rule is None:
        return ""
    if delivery.calls == 1:
        return f"Sent by the rule {delivery.rule}."
    first, last = (local_time(moment) for moment in (delivery.first_at, delivery.last_at))
    or_more = " or more" if delivery.likeness == OTHERS else ""
    kinds = f"of {delivery.kinds}{or_more} kinds" if delivery.kinds > 1 or or_more else "of the same kind"
    return (
        f"Sent by the rule {delivery.rule}. This report stands for {delivery.calls:,} calls {kinds},"
        f" from {first} to {last}; the newest of them follows."
    )


def brief_lines(call: Call) -> list[str]:
    """Return the lines of a chat message: identifiers, how the call ended, and its error."""
    values = metadata(call.exchange)
    lines = [f"{name}: {values[name]}{' ms' if name == 'latency' else ''}" for name in BRIEF_FACTS if name in values]
    error = error_text(call.exchange)
    return [*lines, *([f"error: {shortened(error, MAX_ERROR)}"] if error else []), f"mpal show {call.exchange.id}"]
