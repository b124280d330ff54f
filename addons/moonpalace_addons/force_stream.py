"""Ask the API for a stream where the client did not, or for the usage of a stream: the request's side of it."""

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.calls.chat_requests import is_plain_chat
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.wire.chat.request_edit import ask_for_stream, ask_for_usage


class ForceStream:
    """Edit the requests of chat completions; `edit_stream` turns the answers back into what the client expects."""

    name = "moonpalace-force-stream"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls

    def request(self, flow: HTTPFlow) -> None:
        """Put the two fields in, if the setting asks for it and the request is one that can be understood."""
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
