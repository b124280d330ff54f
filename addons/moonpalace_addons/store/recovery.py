"""Finish the rows that a dead proxy left in flight, with what it had stored of their answers."""

import time
from collections.abc import Container

from sqlalchemy import Connection, RowMapping

from moonpalace_addons.store import derive, records
from moonpalace_addons.store.host import host_name, is_other_process
from moonpalace_addons.store.tasks import ExchangeEnded, State

SILENT_MOST = 60_000_000
"""Microseconds without a heartbeat after which a proxy counts as dead (its number may be another process's by now)."""


def recover(connection: Connection, living: Container[str]) -> int:
    """Mark what dead proxies left as `proxy_died`; return how many calls that were.

    `living` are the runs of this process.
    """
    count = 0
    for run in records.open_runs(connection):
        if run["id"] not in living and not is_alive(run):
            for left in records.unfinished(connection, run["id"]):
                finish(connection, left)
                count += 1
    return count


def is_alive(run: RowMapping) -> bool:
    """Tell whether the proxy of this run, in another process, still works.

    On this machine its process must live too: that is known at once, where the heartbeat takes a minute.
    """
    if run["ended_at"] is not None or time.time_ns() // 1000 - int(run["heartbeat_at"]) > SILENT_MOST:
        return False
    return run["host"] != host_name() or is_other_process(run["pid"])


def finish(connection: Connection, left: records.Unfinished) -> None:
    """Give one call its terminal state."""
    call = left.exchange
    last = left.chunks[-1][1] if left.chunks else call.time_to_headers or 0
    ended = ExchangeEnded(
        uuid=call.uuid,
        at=last,
        state=State.PROXY_DIED,
        error_kind="proxy_died",
        error_message="the proxy died while this call was under way; what had been stored of the answer is kept",
    )
    received = None
    if call.status_code is not None:
        received = derive.Received(
            at=call.time_to_headers,
            status_code=call.status_code,
            headers=call.response_headers,
            content_type=call.response_content_type,
            body=left.response_body,
            chunks=left.chunks,
        )
    result = derive.outcome(ended, received, derive.request_fields(left.request_body))
    records.update_exchanges(connection, [derive.storable(result.columns) | {"id": call.id}])
    records.delete_segments(connection, [call.id])
    bodies = [records.body_row(call.id, "response", result.body)] if result.body is not None else []
    streams = [records.stream_row(call.id, result.stream, left.chunks)] if result.stream is not None else []
    records.insert_contents(connection, bodies, streams)
