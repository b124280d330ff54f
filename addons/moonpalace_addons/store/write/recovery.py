"""Finish the rows that a dead proxy left in flight, with what it had stored of their answers."""

import logging
import os
from collections.abc import Container
from dataclasses import dataclass

from sqlalchemy import Connection

from moonpalace_addons.store.database.outage import is_store_failure
from moonpalace_addons.store.records import contents, exchanges, runs
from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.answers import Received
from moonpalace_addons.store.write.host import host_name, is_other_process
from moonpalace_addons.store.write.storable import storable
from moonpalace_addons.wire.chat import stream_texts

logger = logging.getLogger(__name__)

SILENT_MOST = 60_000_000
"""Microseconds without a heartbeat after which a proxy counts as dead (its number may be another process's by now).

They are counted by the database's clock, and from the start of its server: neither a machine whose clock is wrong nor
a server that was down for an hour makes a living proxy look dead. One that was cut off from the server for longer does
if another starts meanwhile; when it is back, what it knows of its calls replaces what was written for them.
"""


def recover(connection: Connection, living: Container[str], own_pid: int | None = None) -> int:
    """Mark what dead proxies left as `proxy_died`; return how many calls that were.

    `living` are the runs of this proxy, `own_pid` is its process if that is another one. Of several that do this at
    once, one finishes each run.
    """
    count = 0
    for run in runs.open_runs(connection):
        if run.id in living or is_alive(run, own_pid) or not runs.claim_run(connection, run.id):
            continue
        for left in runs.unfinished(connection, run.id):
            finish(connection, left)
            count += 1
    return count


def is_alive(run: runs.OpenRun, own_pid: int | None = None) -> bool:
    """Tell whether the proxy of this run, in another process than this and `own_pid`, still works.

    On this machine its process must live too: that is known at once, where the heartbeat takes a minute.
    """
    if run.is_over or run.silent > SILENT_MOST:
        return False
    return run.host != host_name() or (run.pid != own_pid and is_other_process(run.pid))


def is_in_use(connection: Connection) -> bool:
    """Tell whether a proxy that works, this process among them, uses the store."""
    return any(run.pid == os.getpid() or is_alive(run) for run in runs.live_runs(connection, SILENT_MOST))


def finish(connection: Connection, left: runs.Unfinished) -> None:
    """Give one call its terminal state; where what was kept of it is refused, at least that."""
    try:
        with connection.begin_nested():
            finish_with(connection, left.exchange.id, read(left))
    except Exception as error:
        if is_store_failure(error):
            raise  # locked or full: a matter of the database, not of this call
        logger.exception("store: what was kept of call %d could not be read", left.exchange.id)
        unread = derive.outcome(ending(left), None, {}, warnings=left.exchange.warnings)
        finish_with(connection, left.exchange.id, Result(unread, []))


@dataclass(frozen=True, slots=True)
class Result:
    """What becomes of a call that a dead proxy left."""

    outcome: derive.Outcome
    chunks: list[tuple[int, int]]


def read(left: runs.Unfinished) -> Result:
    """Work out what a call came to from what was kept of it."""
    call = left.exchange
    received = None
    if call.status_code is not None:
        received = Received(
            at=call.time_to_headers,
            status_code=call.status_code,
            headers=call.response_headers,
            content_type=call.response_content_type,
            body=left.response_body,
            chunks=left.chunks,
        )
    fields = derive.request_fields(left.request_body)
    return Result(derive.outcome(ending(left), received, fields, warnings=call.warnings), left.chunks)


def ending(left: runs.Unfinished) -> ExchangeEnded:
    """Return how such a call ended: with its last byte."""
    return died(left.exchange.uuid, left.chunks[-1][1] if left.chunks else left.exchange.time_to_headers or 0)


def died(uuid: str, at: int) -> ExchangeEnded:
    """Return the end of a call whose proxy died; the last that came of it came `at` nanoseconds after it began."""
    return ExchangeEnded(
        uuid=uuid,
        at=at,
        state=State.PROXY_DIED,
        error_kind="proxy_died",
        error_message="the proxy died while this call was under way; what had been stored of the answer is kept",
    )


def finish_with(connection: Connection, call_id: int, result: Result) -> None:
    """Write what became of a call."""
    outcome = result.outcome
    exchanges.update_exchanges(connection, [storable(outcome.columns) | {"id": call_id}])
    contents.delete_segments(connection, [call_id])
    bodies = [contents.Body(call_id, "response", outcome.body)] if outcome.body is not None else []
    texts = stream_texts.of_answer(outcome.stream, outcome.body)
    streams = [contents.Stream(call_id, outcome.stream, result.chunks, texts)] if outcome.stream is not None else []
    contents.insert_contents(connection, bodies, streams)
