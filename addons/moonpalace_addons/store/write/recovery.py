"""Finish the rows that a dead proxy left in flight, with the stored parts of their answers."""

import logging
import os
from collections.abc import Container

from sqlalchemy import Connection

from moonpalace_addons.store.database.outage import is_store_failure
from moonpalace_addons.store.pricing import repricing
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records import runs
from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.answers import Received
from moonpalace_addons.store.write.host import host_name, is_other_process
from moonpalace_addons.store.write.units import Unit, write

logger = logging.getLogger(__name__)

HEARTBEAT_TIMEOUT = 60_000_000
"""Microseconds without a heartbeat after which a proxy counts as dead (its pid may belong to another process by then).

They are counted by the database's clock, and from the start of its server, so neither a wrong clock nor a server that
was down for an hour makes a live proxy look dead. A proxy that was disconnected from the server for longer does look
dead if another one starts meanwhile; when it reconnects, its own data replaces what was written for its calls.
"""


def recover(
    connection: Connection, living: Container[str], own_pid: int | None = None, pricing: Pricing | None = None
) -> int:
    """Mark the calls that dead proxies left in flight as `proxy_died`; return their number.

    `living` are the runs of this proxy, `own_pid` its process if that is not this one. If several proxies do this at
    once, each run is finished by one of them.
    """
    count = 0
    for run in runs.open_runs(connection):
        if run.id in living or is_alive(run, own_pid) or not runs.claim_run(connection, run.id):
            continue
        for left in runs.unfinished(connection, run.id):
            finish(connection, left, pricing)
            count += 1
    return count


def is_alive(run: runs.OpenRun, own_pid: int | None = None) -> bool:
    """Return whether the proxy of this run, in a process other than this one and `own_pid`, is alive.

    On this machine its process must exist too, which is known at once, while the heartbeat takes a minute.
    """
    if run.is_over or run.silent > HEARTBEAT_TIMEOUT:
        return False
    return run.host != host_name() or (run.pid != own_pid and is_other_process(run.pid))


def is_in_use(connection: Connection) -> bool:
    """Return whether a live proxy, possibly this process, uses the store."""
    return any(run.pid == os.getpid() or is_alive(run) for run in runs.live_runs(connection, HEARTBEAT_TIMEOUT))


def finish(connection: Connection, left: runs.Unfinished, pricing: Pricing | None = None) -> None:
    """Finish one call; if its stored parts cannot be read, at least with its final state."""
    try:
        with connection.begin_nested():
            unit = begun(left)
            end(unit, left)
            write(connection, [unit])
            if pricing is not None:
                repricing.price(connection, pricing, [left.exchange.id])
    except Exception as error:
        if is_store_failure(error):
            raise  # locked or full: not caused by this call
        logger.exception("store: the stored parts of call %d could not be read", left.exchange.id)
        unread = begun(left)
        derive.finish(unread, ending(left), None, {}, warnings=left.exchange.warnings)
        write(connection, [unread])


def end(unit: Unit, left: runs.Unfinished) -> None:
    """Add the end of a call to its unit, derived from its stored parts."""
    call, received = left.exchange, None
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
    derive.finish(unit, ending(left), received, fields, path=call.path, warnings=call.warnings)


def begun(left: runs.Unfinished) -> Unit:
    """Return the unit of a call of which everything but the end is stored."""
    return Unit(left.exchange.uuid, {}, left.exchange.id, kept=True)


def ending(left: runs.Unfinished) -> ExchangeEnded:
    """Return the ending of such a call, at its last byte."""
    return died(left.exchange.uuid, left.chunks[-1][1] if left.chunks else left.exchange.time_to_headers or 0)


def died(uuid: str, at: int) -> ExchangeEnded:
    """Return the ending of a call whose proxy died, `at` nanoseconds after it began."""
    return ExchangeEnded(
        uuid=uuid,
        at=at,
        state=State.PROXY_DIED,
        error_kind="proxy_died",
        error_message="the proxy died while this call was under way; what had been stored of the answer is kept",
    )
