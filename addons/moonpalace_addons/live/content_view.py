"""A content view for calls to the API: the conversation instead of JSON and events."""

from collections.abc import Callable
from functools import lru_cache
from typing import override

from mitmproxy.contentviews import Contentview, Metadata, SyntaxHighlight
from mitmproxy.http import HTTPFlow, Message, Response

from moonpalace_addons.live import kept
from moonpalace_addons.live.call_text import CallInfo, request_text, response_text
from moonpalace_addons.mitm.headers import media_type
from moonpalace_addons.views.durations import duration
from moonpalace_addons.wire.codings import encodings
from moonpalace_addons.wire.faces.table import UNKNOWN, face_of_path

PRIORITY = 2
"""Above that of mitmproxy's view of JSON."""


class CallView(Contentview):
    """Show one side of a call as text; `on_shown` is called with the flow that the user is looking at."""

    def __init__(self, on_shown: Callable[[HTTPFlow], None]) -> None:
        self._on_shown = on_shown
        self._text = lru_cache(4)(text_of)  # mitmproxy asks for the priority, then for the text

    @property
    @override
    def name(self) -> str:
        return "MoonPalace"

    @property
    @override
    def syntax_highlight(self) -> SyntaxHighlight:
        return "none"

    @override
    def prettify(self, data: bytes, metadata: Metadata) -> str:
        text = self._shown(metadata)
        if text is None:
            raise ValueError("this is not a call to the API, or not what its path says")
        return text

    @override
    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        return -1 if self._shown(metadata) is None else PRIORITY

    def _shown(self, metadata: Metadata) -> str | None:
        flow, message = metadata.flow, metadata.http_message
        if not isinstance(flow, HTTPFlow) or message is None or message.raw_content is None:
            return None
        path = flow.request.path.partition("?")[0]
        if face_of_path(path) is UNKNOWN:
            return None
        self._on_shown(flow)
        coding = message.headers.get("content-encoding")
        label = media_type(message.headers.get("content-type"))
        is_answer = isinstance(message, Response)
        return self._text(path, message.raw_content, coding, label, call_info(flow, message), is_answer=is_answer)


def text_of(
    path: str, raw: bytes, coding: str | None, label: str | None, info: CallInfo, *, is_answer: bool
) -> str | None:
    """Return a body as text; None if it is not of the form that its path implies."""
    body, _ = encodings.decode(raw, coding)  # an incomplete body is decoded as far as possible
    return response_text(path, body, label, info) if is_answer else request_text(path, body, info)


def call_info(flow: HTTPFlow, message: Message) -> CallInfo:
    """Return the information on a flow's call that is shown with a body."""
    is_answer = isinstance(message, Response)
    is_plain = message.headers.get("content-encoding", "identity") == "identity"
    return CallInfo(
        row_id=kept.row_of(flow),
        ending=ending(flow) if is_answer else "",
        price=kept.price_of(flow),
        warnings=kept.warnings_of(flow),
        times=kept.times_of(flow) if is_answer and is_plain else (),
        cut=kept.cut_of(flow, message),
    )


def ending(flow: HTTPFlow) -> str:
    """Return why a call failed, that it is still running, or how long it took."""
    if flow.error is not None:
        return f"failed: {flow.error.msg}"
    end = flow.response.timestamp_end if flow.response is not None else None
    return "still running" if end is None else duration(int((end - flow.request.timestamp_start) * 1e9))
