"""The process that writes: opens the store, takes what the proxy says, and ends when that does or is gone."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterable

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import open_store, unopened_store
from moonpalace_addons.store.upkeep.housekeeper import Housekeeper
from moonpalace_addons.store.upkeep.indexer import Indexer
from moonpalace_addons.store.write.writer import Writer
from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.intake import Intake
from moonpalace_addons.writer_process.messages import Opening, Ready, Refused, Settled, Stopped
from moonpalace_addons.writer_process.reports import Reports
from moonpalace_addons.writer_process.request_log import CallLog

logger = logging.getLogger(__name__)

BEHIND = 5
"""How far its priority is below the proxy's: a row may wait for a moment where processors are short, a token not."""

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def main() -> None:
    """Write to the store for the proxy at the other ends of the standard input and output."""
    for name in SIGNALS:  # sent to all processes of a service or a terminal: the proxy says when it is over
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(BEHIND)
    reports = Reports(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what else may print something must not garble the reports
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(reports)
    told = messages.read(sys.stdin.buffer)
    opening = next(told, None)
    if isinstance(opening, Opening):
        serve(opening, told, reports)
    reports.finish()


def serve(opening: Opening, told: Iterable[object], reports: Reports) -> None:
    """Open the store, and write until nothing follows."""
    try:
        writer = open_writer(opening, reports)
    except StoreError as error:
        reports.put(Refused(str(error)))
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the proxy must know; it may hold the URL's password
        reports.put(Refused(f"the store cannot be opened because of a fault in MoonPalace: {type(error).__name__}"))
        return
    helpers = (
        Housekeeper(writer.engine, days=opening.retention_days, max_size=opening.max_size),
        Indexer(writer.engine),
    )
    for each in (writer, *helpers):
        each.start()
    reports.put(Ready(writer.fingerprint_key))
    let_go_of_output()
    gc.freeze()  # what was imported stays: no collection need look at it again
    Intake(writer.put).take_all(told)
    for helper in helpers:
        helper.stop()
    writer.stop()
    writer.engine.dispose()
    reports.put(Stopped(writer.lost))


def open_writer(opening: Opening, reports: Reports) -> Writer:
    """Return a writer on the store; raises StoreError, unless an earlier process has had the store open."""
    log = CallLog()

    def settled(uuids: list[str]) -> None:
        log.flush()
        reports.put(Settled(uuids, writer.lost))

    try:
        engine = open_store(opening.database, create=True)
    except StoreError:
        if opening.key is None:
            raise
        engine = unopened_store(opening.database)
    try:
        writer = Writer(engine, log.add, opening.home, run=opening.run, settled=settled, key=opening.key)
    except BaseException:
        engine.dispose()
        raise
    return writer


def let_go_of_output() -> None:
    """Close the proxy's output: whoever waits for its end must not have to wait for this process too."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
