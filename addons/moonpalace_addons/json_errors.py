"""Answer upstream failures in the API's JSON error format, where mitmproxy would send HTML."""

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.failures import BAD_REQUEST, FailureOf
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.wire.faces.table import error_body
from moonpalace_addons.wire.foreign import quoted


class JsonErrors:
    """Send failures before the first byte of an answer as JSON."""

    name = "moonpalace-json-errors"

    def __init__(self, configuration: Configuration, failure_of: FailureOf) -> None:
        self.configuration = configuration
        self.failure_of = failure_of

    def error(self, flow: HTTPFlow) -> None:
        """Answer 502 or 504 with the reason, or 400 if mitmproxy refused the request.

        A client that did not complete its request gets no answer.
        """
        if not self.configuration.concerns(flow) or flow.error is None:
            return
        failure = self.failure_of(flow)
        is_refusal = failure.kind == BAD_REQUEST.kind
        if flow.request.timestamp_end is None and not is_refusal:
            return
        begun = flow.response is not None and bool(flow.response.stream)
        if failure.status is None or begun:
            return
        endpoint = self.configuration.endpoint_of(flow).url
        reason = "did not send this request" if is_refusal else f"got no answer from {endpoint}"
        body = error_body(f"MoonPalace {reason}: {quoted(flow.error.msg)}", failure.kind, flow.request.path)
        flow_control.answer_and_close(flow, failure.status, body)
