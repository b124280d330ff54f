"""`mpal otel`: send stored calls to OpenTelemetry."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.telemetry import INSTALL, is_installed
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import print_json

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.telemetry.resending import Resent
    from moonpalace_addons.store.telemetry.spans import CallSpan


@click.command("otel")
@selection_flags()
@click.option("--print", "prints", is_flag=True, help="Print the spans as JSON, one a line, and send nothing.")
@setting_flags("database", "otel-content")
def command(selected: CallSelection, prints: bool, settings: Settings) -> None:
    """Send stored calls as spans, as in mpal otel --since -2h or mpal otel 13 15-20.

    They go to OTEL_EXPORTER_OTLP_ENDPOINT, by default http://localhost:4318, with the times that the calls had. A call
    always gives the same span, so that a receiver can recognise one that it already has. Metrics are not sent again.
    """
    with opened(settings.database) as engine:
        from moonpalace_addons.store.telemetry.resending import resend, stored_spans
        from moonpalace_addons.wire.otlp_mistakes import mistakes

        ids = selected.find(engine)
        if prints:
            for span in stored_spans(engine, ids, content=settings.otel_content):
                if span is not None:
                    print_json(json.dumps(document(span), ensure_ascii=False))
            return
        if not is_installed():
            raise MoonPalaceError(f"mpal otel requires OpenTelemetry's packages: {INSTALL}")
        for mistake in mistakes(os.environ):
            click.echo(mistake, err=True)
        click.echo(summary(resend(engine, ids, content=settings.otel_content)))


def document(span: CallSpan) -> dict[str, object]:
    """Return a span as JSON has it; times are in nanoseconds since the epoch."""
    return {
        "name": span.name,
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "parent_span_id": None if span.parent is None else f"{span.parent.span_id:016x}",
        "start": span.began,
        "end": span.ended,
        "error": span.problem,
        "attributes": span.attributes,
    }


def summary(done: Resent) -> str:
    """Return a one-line summary of what was sent."""
    from moonpalace_addons.wire.otlp_environment import shown, url_of

    words = [f"{done.sent} calls sent to {shown(url_of('traces', os.environ))}"]
    if done.others:
        words.append(f"{done.others} left out, which asked no model or have not ended")
    if done.unsampled:
        words.append(f"{done.unsampled} left out by OTEL_TRACES_SAMPLER")
    return "; ".join(words)
