"""Export calls while the proxy runs: a bounded queue, and a thread that empties it.

`add` costs the thread that stores calls a few microseconds and never waits. Calls that the receiver does not take wait
in memory up to `MAX_WAITING` bytes; further ones are left out, which the log says. They are in the store, from which
`mpal otel` sends them.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Engine

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.records.values import Values, microseconds
from moonpalace_addons.store.telemetry import parameters
from moonpalace_addons.store.telemetry.export_state import ExportState, written
from moonpalace_addons.store.telemetry.left_out import LeftOut
from moonpalace_addons.store.telemetry.measures import Measures
from moonpalace_addons.store.telemetry.operations import operation
from moonpalace_addons.store.telemetry.parameters import Parameters
from moonpalace_addons.store.telemetry.stored import stored_span
from moonpalace_addons.wire.otlp_environment import SIGNALS, shown, url_of, wants

if TYPE_CHECKING:
    from moonpalace_addons.store.telemetry.connection import Failure
    from moonpalace_addons.store.telemetry.sending import Sender

logger = logging.getLogger(__name__)

GATHER_TIME = 1.0
"""Seconds between a call and its export, during which others join it, unless a batch fills up sooner."""
MAX_BATCH = 200
"""Maximum calls per request to the receiver."""
MAX_TALKING = 10
"""Maximum calls per request if their messages are sent too."""
MAX_WAITING = 8_000_000
"""Maximum approximate bytes of waiting calls."""
CALL_WEIGHT = 4_000
"""Approximate bytes of a call besides its headers."""
RETRY_MIN_DELAY = 1.0
RETRY_MAX_DELAY = 30.0
METRICS_INTERVAL = 60.0
FLUSH_TIME = 3.0
"""Seconds that the proxy waits at its end for calls that are not exported yet."""
PAUSE_FACTOR = 1
"""Length of a pause as a multiple of the work before it, as the work delays the thread that stores calls."""


class Waiting(NamedTuple):
    """A waiting call, the parameters of its request if they are known, and its approximate size."""

    call: Exchange
    parameters: Parameters | None
    weight: int


class Exporter:
    """Export calls as spans and metrics; `instance` is the ID of the run."""

    def __init__(self, engine: Engine, instance: str, *, content: bool = False) -> None:
        self._engine = engine
        self._instance = instance
        self._content = content
        self._left_out = LeftOut(shown(url_of("traces", os.environ)))
        self._waiting: deque[Waiting] = deque()
        # Bytes; each is written by one thread only.
        self._added = self._removed = 0
        self._sent = 0
        self._batch: list[Waiting] = []
        self._spans: list[bytes] = []
        self._measures = Measures()
        self._measured_at = time.monotonic()
        self._has_spans, self._has_metrics = (wants(signal, os.environ) for signal in SIGNALS)
        self._sender: Sender | None = None
        self._is_broken = self._has_faults = False
        self._delay = RETRY_MIN_DELAY
        self._wake, self._full, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="moonpalace-otel", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, call: Exchange, fields: Mapping[str, object] | None) -> None:
        """Queue a stored call, with the members of its request if they are known; return immediately."""
        if operation(call) is None:
            return
        if self._is_broken:
            self._left_out.add([call])
            return
        weight = CALL_WEIGHT + sum(map(len, (call.request_headers, call.response_headers or "", call.path, call.query)))
        if self._added - self._removed + weight > MAX_WAITING:
            self._left_out.begin("takes fewer calls than there are", [call])
            return
        self._added += weight
        self._waiting.append(Waiting(call, None if fields is None else parameters.of_fields(fields), weight))
        if not self._wake.is_set():
            self._wake.set()
        if len(self._waiting) >= MAX_BATCH and not self._full.is_set():
            self._full.set()

    def status(self) -> Values:
        """Return the state of the export for the row of the run; never raise."""
        try:
            return {"export": written(self._state())}
        except Exception:
            if not self._has_faults:
                logger.exception("otel: the state of the export is not stored because of a fault in MoonPalace")
            self._has_faults = True
            return {}

    def _state(self) -> ExportState:
        problem, since = self._left_out.last or (None, None)
        oldest = self._left_out.oldest
        return ExportState(
            self._left_out.place,
            sent=self._sent,
            waiting=len(self._batch) + len(self._waiting),
            left_out=self._left_out.total,
            left_out_since=None if oldest is None else microseconds(oldest),
            problem=problem,
            problem_at=since,
            is_over=self._left_out.problem is None,
        )

    def stop(self) -> None:
        """Export the waiting calls if the receiver accepts them within `FLUSH_TIME` seconds, and stop; never raise."""
        self._guarded(self._stop)

    def _stop(self) -> None:
        for event in (self._stopping, self._wake, self._full):
            event.set()
        self._thread.join(FLUSH_TIME)
        if self._thread.is_alive() and self._sender is not None:
            self._sender.stop()
            self._thread.join(GATHER_TIME)
        self._left_out.add(waiting.call for waiting in (*self._batch, *self._waiting))
        self._left_out.close()

    def _work(self) -> None:
        self._guarded(self._set_up)
        while not (self._stopping.is_set() or self._is_broken):
            self._wake.wait(METRICS_INTERVAL)
            self._full.wait(GATHER_TIME)
            self._wake.clear()
            self._full.clear()
            self._guarded(self._export)
        if not self._is_broken and self._left_out.problem is None:
            self._guarded(self._export)
            self._guarded(self._send_metrics)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run `work`; an exception ends the export."""
        try:
            work()
        except Exception:
            self._is_broken = True
            self._left_out.add(waiting.call for waiting in (*self._batch, *self._waiting))
            self._batch = []
            self._waiting.clear()
            self._left_out.note("gets nothing any more because of a fault in MoonPalace")
            logger.exception("otel: calls are not exported any more because of a fault in MoonPalace")

    def _set_up(self) -> None:
        from moonpalace_addons.store.telemetry.sending import Sender  # 0.2 s, which the store need not wait for

        self._sender = Sender(self._instance)

    def _export(self) -> None:
        """Export the waiting calls until a request fails that is to be repeated later."""
        while self._batch or self._waiting:
            began = time.thread_time()
            if not self._batch:
                self._take()
            failure = self._send()
            if failure is not None and not failure.is_final:
                self._left_out.begin(failure.words)
                self._wait_for_receiver()
                return
            self._settle(failure)
            self._stopping.wait((time.thread_time() - began) * PAUSE_FACTOR)
        if time.monotonic() - self._measured_at >= METRICS_INTERVAL:
            self._send_metrics()

    def _take(self) -> None:
        """Make spans of the next calls, and add them to the metrics."""
        self._batch = list(islice(self._waiting, MAX_TALKING if self._content else MAX_BATCH))
        self._spans = [span for waiting in self._batch if (span := self._span(waiting)) is not None]
        for _ in self._batch:
            self._waiting.popleft()

    def _span(self, waiting: Waiting) -> bytes | None:
        """Return the span of a call; None if it has none. An exception loses only this span, and is logged once."""
        call, members, _ = waiting
        try:
            attributes = stored_span(self._engine, call, members, content=self._content)
            if attributes is None or self._sender is None:
                return None
            self._measures.add(call, attributes.common)
            return self._sender.span(attributes)
        except Exception:
            if not self._has_faults:
                logger.exception("otel: call %d is not exported because of a fault in MoonPalace", call.id)
            self._has_faults = True
            self._left_out.add([call])
            return None

    def _send(self) -> "Failure | None":
        if self._sender is None or not (self._spans and self._has_spans):
            return None
        return self._sender.send_spans(self._spans)

    def _settle(self, failure: "Failure | None") -> None:
        """Remove the batch from the queue; note how many of its calls were rejected for good."""
        refused = 0 if failure is None else len(self._spans) if failure.count is None else failure.count
        self._sent += max(0, len(self._spans) - refused) if self._has_spans else 0
        if failure is not None:
            self._left_out.begin(failure.words, [waiting.call for waiting in self._batch[: failure.count]])
        elif not self._waiting:
            self._left_out.end()
        self._delay = RETRY_MIN_DELAY
        self._removed += sum(waiting.weight for waiting in self._batch)
        self._batch, self._spans = [], []

    def _wait_for_receiver(self) -> None:
        self._stopping.wait(self._delay)
        self._delay = min(self._delay * 2, RETRY_MAX_DELAY)
        self._wake.set()

    def _send_metrics(self) -> None:
        self._measured_at = time.monotonic()
        if self._sender is None or not self._has_metrics:
            return
        failure = self._sender.send_metrics(self._measures)
        if failure is not None and failure.is_final:
            self._has_metrics = False
            place = shown(url_of("metrics", os.environ))
            logger.warning("otel: %s %s; metrics are not exported", place, failure.words)
