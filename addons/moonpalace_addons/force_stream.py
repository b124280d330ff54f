"""Request a stream where the client did not, or the usage of a stream. `edit_stream` edits the answers."""

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.calls.chat_requests import is_plain_chat
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.wire.chat.request_edit import ask_for_stream, ask_for_usage


class ForceStream:
    """Edit the requests of chat completions; `edit_stream` restores the form that the client expects."""

    name = "moonpalace-force-stream"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls

    def request(self, flow: HTTPFlow) -> None:
        """Set the fields that the settings require, if the request can be parsed."""
        call = self.calls.get(flow)
        if call is None or flow.response is not None or not is_plain_chat(flow):
            return
        settings = self.configuration.settings
        body = flow.request.raw_content or b""
        if settings.force_stream and (changed := ask_for_stream(body)) is not None:
            call.state(StreamEdit).coerce = True
            call.changes.append("body: stream and stream_options.include_usage set to true")
        elif settings.stream_usage and (changed := ask_for_usage(body)) is not None:
            call.state(StreamEdit).hide_usage = True
            call.changes.append("body: stream_options.include_usage set to true")
        else:
            return
        call.body = body
        flow.request.content = changed
