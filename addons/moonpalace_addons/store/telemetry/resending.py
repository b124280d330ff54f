"""Send stored calls, with their own times and the same ids each time."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import batched

from sqlalchemy import Engine

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.state import State
from moonpalace_addons.store.telemetry.spans import CallSpan
from moonpalace_addons.store.telemetry.stored import stored_span
from moonpalace_addons.wire.otlp_environment import shown, url_of

BATCH = 10
"""Maximum calls per request to the receiver; they may include messages."""


@dataclass(slots=True)
class Resent:
    """The numbers of calls that were sent, are not operations of a model or have not ended, and are not sampled."""

    sent: int = 0
    others: int = 0
    unsampled: int = 0


def stored_spans(engine: Engine, ids: Sequence[int], *, content: bool) -> Iterator[CallSpan | None]:
    """Yield the span of each of these calls; None for a call that has none."""
    for call in selection.in_order(engine, ids):
        yield stored_span(engine, call, None, content=content) if call.state is not State.IN_FLIGHT else None


def resend(engine: Engine, ids: Sequence[int], *, content: bool) -> Resent:
    """Send these calls; raise MoonPalaceError as soon as the receiver rejects one."""
    from moonpalace_addons.store.telemetry.sending import Sender  # an extra, and 0.2 s

    sender, done, place = Sender("resent"), Resent(), shown(url_of("traces", os.environ))
    for batch in batched(stored_spans(engine, ids, content=content), BATCH):
        present = [span for span in batch if span is not None]
        spans = [span for each in present if (span := sender.span(each)) is not None]
        if spans and (failure := sender.send_spans(spans)) is not None:
            of_these = "" if failure.count is None else f" ({failure.count} of {len(spans)})"
            raise MoonPalaceError(
                f"{place} {failure.words}{of_these}; {done.sent} of {len(ids)} calls were sent before"
            )
        done.sent += len(spans)
        done.others += len(batch) - len(present)
        done.unsampled += len(present) - len(spans)
    return done
