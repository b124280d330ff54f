"""Tell what the body of an answer is by its first bytes: its label, the Content-Type, may say anything.

byte order mark, white space     say nothing yet; before JSON and before events they may go on for minutes
`{`, `[`                         JSON, whatever the label
a line of an event stream        events: under the label of event streams at once, under any other from the first
                                 line `data` on that has JSON or `[DONE]` in it, since text may begin like a comment
anything else, nothing at all    what the label says
"""

import re
from enum import StrEnum

EVENT_STREAM = "text/event-stream"

MAX_HEAD = 16 * 1024
"""Bytes after which the label decides, whatever is still to come."""

BOM = b"\xef\xbb\xbf"
_WHITESPACE = b" \t\r\n"
_JSON = (b"{", b"[")
_BEGUN = re.compile(
    rb"(?:[\r\n]|(?:event|id|retry)?:[^\r\n]*[\r\n]|data:?[ \t]*[\r\n])*"  # lines that say nothing of the form
    rb"(?:(?P<data>data: *[{\[])"
    rb"|(?P<open>(?:event|id|retry)?:[^\r\n]*|data:? *|(?:d|da|dat|e|ev|eve|even|event|i|id|r|re|ret|retr|retry)?)\Z)?"
)


class Form(StrEnum):
    """What a body is."""

    EVENTS = "events"
    JSON = "json"
    OTHER = "other"


def form_of(head: bytes, label: str | None, *, is_over: bool = False) -> Form | None:
    """Return what a body is that begins with `head` (decoded), None if more has to come before it can be told.

    `label` is the content type without its parameters, in lower case; `is_over` says that nothing more comes.
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
    """Tell whether a label says that a body is one JSON document; a sequence of them, such as ndjson, is a stream."""
    return label is not None and label.endswith(("/json", "+json"))
