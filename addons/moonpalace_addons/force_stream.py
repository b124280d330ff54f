"""Ask the API for a stream where the client did not, or for the usage of a stream: the request's side of it."""

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm.headers import media_type
from moonpalace_addons.wire.chat.request_edit import ask_for_stream, ask_for_usage

CHAT = "/chat/completions"


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
            call.coerce = True
            call.changes.append("body: stream and stream_options.include_usage set to true")
        elif settings.stream_usage and (changed := ask_for_usage(body)) is not None:
            call.hide_usage = True
            call.changes.append("body: stream_options.include_usage set to true")
        else:
            return
        call.body = body
        flow.request.content = changed


def is_plain_chat(flow: HTTPFlow) -> bool:
    """Tell whether a request is a chat completion whose body is JSON and not encoded."""
    request = flow.request
    return (
        request.method == "POST"
        and request.path.partition("?")[0].endswith(CHAT)
        and media_type(request.headers.get("content-type")) in (None, "application/json")
        and request.headers.get("content-encoding", "identity").lower() in ("", "identity")
    )
