"""Request a stream where the client did not, or the usage of a stream. `edit_stream` edits the answers."""

from collections.abc import Collection

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm.headers import has_plain_body


class ForceStream:
    """Edit the requests of faces with streams; `edit_stream` restores the form that the client expects."""

    name = "moonpalace-force-stream"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls

    @property
    def unneeded(self) -> Collection[str]:
        """Return the hooks that do nothing if neither setting is on."""
        return () if self.configuration.edits_requests else ("request",)

    def request(self, flow: HTTPFlow) -> None:
        """Set the fields that the settings require, if the request can be parsed."""
        call = self.calls.get(flow)
        if call is None or flow.response is not None:
            return
        settings = self.configuration.settings
        if not (self.configuration.edits_requests and call.face.is_streamed and has_plain_body(flow)):
            return
        body = flow.request.raw_content or b""
        if settings.force_stream and (edited := call.face.ask_for_stream(body)) is not None:
            call.state(StreamEdit).coerce = True
        elif settings.stream_usage and (edited := call.face.ask_for_usage(body)) is not None:
            call.state(StreamEdit).hide_usage = True
        else:
            return
        call.changes.append(f"body: {edited.change}")
        call.body = body
        flow.request.content = edited.body
