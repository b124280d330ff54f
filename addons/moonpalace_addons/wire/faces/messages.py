"""Anthropic's messages: `system` and `messages` with blocks of content, and a `message` as the answer."""

from typing import override

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.faces.face import Face, Fields
from moonpalace_addons.wire.faces.progress import Progress
from moonpalace_addons.wire.json_value import mapping, text_in

TYPES = frozenset(
    {"message", "message_start", "message_delta", "message_stop"}
    | {"content_block_start", "content_block_delta", "content_block_stop"}
)
"""The types of answers and of the events of their streams."""


class Messages(Face):
    """`/anthropic/v1/messages` and `/v1/messages`."""

    name = "messages"
    paths = ("/v1/messages", "/anthropic/messages")
    part = "block"

    @override
    def owns(self, value: Fields) -> bool:
        kind = value.get("type")
        return isinstance(kind, str) and kind in TYPES

    @override
    def make_progress(self) -> Progress:
        return MessagesProgress()

    @override
    def answer_id(self, answer: Fields) -> str | None:
        message = _message(answer)
        return text_in(message, "id") if message.get("type") == "message" else None

    @override
    def finish_reason(self, answer: Fields) -> str | None:
        return text_in(answer, "stop_reason")

    @override
    def error_answer(self, error: ApiError) -> Fields:
        return {"type": "error", "error": error.member}


class MessagesProgress(Progress):
    """The state of a stream of a message."""

    @override
    def read(self, value: Fields) -> None:
        self.has_content = True
        self.is_done = self.is_done or value.get("type") == "message_stop"


def _message(value: Fields) -> Fields:
    """Return the message, which the first event contains as a member."""
    return mapping(value.get("message")) if value.get("type") == "message_start" else value


MESSAGES = Messages()
