"""The end of a call: the writer's task about it, and ending a call for a reason of ours."""

from moonpalace_addons.caching.call_state import ContextCacheState
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.calls.stream_edit import adapter_of
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.wire.faces.table import error_body

STOPPED = "the proxy was stopped while this call was under way"


def ended(
    call: Call, failure: Failure | None = None, message: str | None = None, *, at: int | None = None
) -> ExchangeEnded:
    """End a call, as completed if there is no failure, `at` or now, and return the task that says so."""
    adapter, cache = adapter_of(call), call.find(ContextCacheState)
    call.drop_states()
    return ExchangeEnded(
        uuid=call.uuid,
        at=call.now() if at is None else at,
        state=failure.state if failure is not None else State.COMPLETED,
        overhead=call.overhead,
        error_kind=failure.kind if failure is not None else None,
        error_message=message if failure is not None else None,
        response=None if call.announced else call.response,
        warnings=tuple(call.warnings),
        cut_at=adapter.cut_at if adapter is not None else None,
        unsent=call.unsent if failure is not None else 0,
        dropped=call.answer.dropped,
        cache_outcome=cache.outcome if cache is not None else None,
    )


def give_up(call: Call, failure: Failure, message: str, *, flush: bool = False) -> None:
    """End a call as failed; with `flush`, pending data is sent to the client first."""
    call.given_up = failure, message
    body = error_body(message, failure.kind, call.path)
    if call.streaming or failure.status is None or not flow_control.answer_and_close(call.flow, failure.status, body):
        flow_control.close_client(call.flow, flush=flush)
