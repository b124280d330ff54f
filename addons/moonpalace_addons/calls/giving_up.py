"""End a call for a reason of ours: with an error before the answer, else by closing the connection."""

from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.wire.faces.table import error_body

STOPPED = "the proxy was stopped while this call was under way"


def give_up(call: Call, failure: Failure, message: str, *, flush: bool = False) -> None:
    """End a call as failed; with `flush`, pending data is sent to the client first."""
    call.given_up = failure, message
    body = error_body(message, failure.kind, call.path)
    if call.streaming or failure.status is None or not flow_control.answer_and_close(call.flow, failure.status, body):
        flow_control.close_client(call.flow, flush=flush)
