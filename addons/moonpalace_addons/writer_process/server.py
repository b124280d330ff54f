"""The writer's process: open the store, store the proxy's tasks, and end when the proxy stops or dies."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from moonpalace_addons.errors import SettingError, StoreError
from moonpalace_addons.store.database.engine import unopened_store
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.pricing import price_list
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.state import State
from moonpalace_addons.store.tasks import ProxyEnded
from moonpalace_addons.store.upkeep.housekeeper import Housekeeper
from moonpalace_addons.store.upkeep.indexer import Indexer
from moonpalace_addons.store.write.units import Finished
from moonpalace_addons.store.write.writer import Observer, Writer
from moonpalace_addons.views.call_line import row_line
from moonpalace_addons.views.money import price
from moonpalace_addons.writer_process import messages, rules_process
from moonpalace_addons.writer_process.messages import Confirmed, Opening, Ready, Refused, RowLine, Stop, Stopped
from moonpalace_addons.writer_process.outbox import Outbox
from moonpalace_addons.writer_process.request_log import CallLog
from moonpalace_addons.writer_process.shared_bodies import SharedBodies

if TYPE_CHECKING:
    from moonpalace_addons.store.telemetry.exporter import Exporter

NICE_INCREMENT = 5
"""Its priority is lower than the proxy's: on a busy machine a row may wait, a token may not."""

GARBAGE_THRESHOLDS = (20_000, 10, 10)
"""Thresholds of the garbage collector: calls leave nothing for it, and it would look at all that wait every time."""

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def main() -> None:
    """Write to the store for the proxy at the other end of standard input and output."""
    for name in SIGNALS:  # also sent to the proxy, which decides when to stop
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICE_INCREMENT)
    outbox = Outbox(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # other output must not garble the messages
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(outbox)
    messages_in = messages.read(sys.stdin.buffer)
    opening = next(messages_in, None)
    if isinstance(opening, Opening):
        serve(opening, messages_in, outbox)
    outbox.finish()


def serve(opening: Opening, messages_in: Iterable[object], outbox: Outbox) -> None:
    """Open the store and write until the last message."""
    try:
        writer, exporter = open_writer(opening, outbox)
    except (StoreError, SettingError) as error:
        outbox.put(Refused(str(error)))
        return
    except Exception as error:  # noqa: BLE001 - the proxy must learn of it; the error's text may contain the password
        outbox.put(Refused(f"the store cannot be opened because of a fault in MoonPalace: {type(error).__name__}"))
        return
    helpers = (
        Housekeeper(writer.engine, days=opening.settings.retention_days, max_size=opening.settings.max_size),
        Indexer(writer.engine),
        rules_process.RulesProcess(opening),
    )
    exporters = () if exporter is None else (exporter,)
    for each in (writer, *helpers, *exporters):
        each.start()
    outbox.put(Ready(writer.fingerprint_key))
    for endpoint in opening.settings.endpoints:
        price_list.prepare(endpoint.url)  # before the first call, which would wait for it
    release_output()
    gc.freeze()  # excludes imported modules from garbage collection
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    bodies = SharedBodies()
    for message in messages_in:
        if isinstance(message, Stop):
            break
        writer.put_all(bodies.unpack(message))
    writer.put(ProxyEnded())
    for helper in helpers:
        helper.stop()
    writer.stop()
    for exporter in exporters:
        exporter.stop()
    writer.engine.dispose()
    outbox.put(Stopped(writer.lost))


def open_writer(opening: Opening, outbox: Outbox) -> "tuple[Writer, Exporter | None]":
    """Return a writer on the store, and the exporter of its calls, None unless `otel` is set.

    Raises StoreError and SettingError, unless an earlier process had the store open.
    """
    settings = opening.settings
    log = CallLog(settings, opening.log_width)

    def confirmed(uuids: list[str]) -> None:
        log.flush()
        outbox.put(Confirmed(uuids, writer.lost))

    try:
        engine = open_store(settings.database, create=True)
    except StoreError:
        if opening.key is None:
            raise
        engine = unopened_store(settings.database)
    try:
        if settings.rules and opening.key is None:
            rules_process.check(settings.rules, engine.dialect.name)
        pricing = Pricing(settings.prices)
        exporter = None
        if settings.otel:
            from moonpalace_addons.store.telemetry.exporter import Exporter

            exporter = Exporter(engine, str(opening.run["id"]), content=settings.otel_content)
        writer = Writer(
            engine,
            observer(log, exporter, outbox if opening.rows else None),
            settings.home,
            run=opening.run,
            settled=confirmed,
            key=opening.key,
            pricing=pricing,
            observes_begun=opening.rows,
            observes_words=log.wants_words,
            status=dict if exporter is None else exporter.status,
        )
    except BaseException:
        engine.dispose()
        raise
    return writer, exporter


def observer(log: CallLog, exporter: "Exporter | None", rows: Outbox | None) -> Observer:
    """Return the observer that passes each stored call to the log, the exporter, and, with `rows`, to the proxy."""

    def observe(finished: Finished) -> None:
        if rows is not None:
            rows.put(line_of(finished.call))
        if finished.call.state is State.IN_FLIGHT:
            return
        log.add(finished.call, finished.words)
        if exporter is not None:
            exporter.add(finished.call, finished.fields)

    return observe


def line_of(call: Exchange) -> RowLine:
    """Return the message about the row of a call."""
    return RowLine(
        uuid=call.uuid,
        row_id=call.id,
        text=row_line(call),
        style=outcome(call).style,
        is_running=call.state is State.IN_FLIGHT,
        price=price(call.cost, call.cost_currency),
        warnings=tuple(call.warnings),
    )


def release_output() -> None:
    """Redirect output to the null device, so that readers of the proxy's output do not wait for this process."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
