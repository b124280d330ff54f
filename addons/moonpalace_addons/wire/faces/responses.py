"""The responses endpoint: `input` and `instructions`, and a `response` with `output` items."""

from typing import override

from moonpalace_addons.wire.faces.face import Face, Fields
from moonpalace_addons.wire.faces.progress import Progress
from moonpalace_addons.wire.json_value import mapping, text_in

LAST_TYPES = ("response.completed", "response.incomplete", "response.failed")
"""Types of the final events; the streams have no `[DONE]`."""


class Responses(Face):
    """`/v1/responses`."""

    name = "responses"
    paths = ("/responses",)
    part = "output item"

    @override
    def owns(self, value: Fields) -> bool:
        kind = value.get("type")
        return (isinstance(kind, str) and kind.startswith("response.")) or value.get("object") == "response"

    @override
    def make_progress(self) -> Progress:
        return ResponsesProgress()

    @override
    def answer_id(self, answer: Fields) -> str | None:
        return text_in(_response(answer), "id")

    @override
    def finish_reason(self, answer: Fields) -> str | None:
        response = _response(answer)
        return text_in(mapping(response.get("incomplete_details")), "reason") or text_in(response, "status")


class ResponsesProgress(Progress):
    """The state of a stream of `response.…` events."""

    @override
    def read(self, value: Fields) -> None:
        self.has_content = True
        self.is_done = self.is_done or value.get("type") in LAST_TYPES


def _response(value: Fields) -> Fields:
    """Return the response, which most events contain as a member."""
    return mapping(value.get("response")) or value


RESPONSES = Responses()
