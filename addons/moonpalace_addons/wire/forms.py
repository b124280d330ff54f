"""Detect the form of a response body from its first bytes, because its Content-Type may be wrong.

byte order mark, whitespace      undecided; both may go on for minutes before JSON or events
`{`, `[`                         JSON, whatever the label
a line of an event stream        events: at once if the label is that of event streams; otherwise from the first
                                 `data` line that contains JSON or `[DONE]`, since text may begin like a comment
anything else, or nothing        the form that the label names
"""

import re
from enum import StrEnum

EVENT_STREAM = "text/event-stream"

MAX_HEAD = 16 * 1024
"""Bytes after which the label decides."""

BOM = b"\xef\xbb\xbf"
_WHITESPACE = b" \t\r\n"
_JSON = (b"{", b"[")
_BEGUN = re.compile(
    rb"(?:[\r\n]|(?:event|id|retry)?:[^\r\n]*[\r\n]|data:?[ \t]*[\r\n])*"  # lines that do not reveal the form
    rb"(?:(?P<data>data: *[{\[])"
    rb"|(?P<open>(?:event|id|retry)?:[^\r\n]*|data:? *|(?:d|da|dat|e|ev|eve|even|event|i|id|r|re|ret|retr|retry)?)\Z)?"
)


class Form(StrEnum):
    """The form of a body."""

    EVENTS = "events"
    JSON = "json"
    OTHER = "other"


def form_of(head: bytes, label: str | None, *, is_over: bool = False) -> Form | None:
    """Return the form of a body that begins with `head` (decoded), None if more bytes are needed to decide.

    `label` is the content type without its parameters, in lower case; `is_over` means that no more bytes follow.
    """
    text = head.removeprefix(BOM).lstrip(_WHITESPACE)
    if text.startswith(_JSON):
        return Form.JSON
    is_over = is_over or len(head) >= MAX_HEAD
    if not is_over and (not text or BOM.startswith(text)):
        return None
    if label == EVENT_STREAM:
        return Form.OTHER if text.startswith(b"<") else Form.EVENTS
    begun = _BEGUN.match(text)
    if begun is not None and begun["data"]:
        return Form.EVENTS
    if begun is not None and begun["open"] is not None and not is_over:
        return None
    return Form.JSON if is_json(label) else Form.OTHER


def is_json(label: str | None) -> bool:
    """Return whether a label names a single JSON document; a sequence of them, such as ndjson, is a stream."""
    return label is not None and label.endswith(("/json", "+json"))
