"""Read a finished answer of any face, tolerating any malformed member.

A value of the wrong type counts as missing; a bool is not a number.
"""

from typing import NamedTuple

from moonpalace_addons.wire import usage
from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.json_value import mapping, text_in
from moonpalace_addons.wire.usage import Usage


class Summary(NamedTuple):
    """The fields of a stored call that come from its answer."""

    id: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    error: ApiError | None = None


def summarize(answer: object, *, face: Face | None = None, failed: bool = False) -> Summary:
    """Return the summary of an answer, given as parsed JSON; never raise.

    Without `face`, the shape of the answer decides which face it belongs to. `failed` means that the status is that of
    an error; the answer is then treated as one whatever its form.
    """
    face = face or face_of("", [answer])
    fields = mapping(answer)
    return Summary(
        id=face.answer_id(fields),
        model=text_in(fields, "model"),
        finish_reason=face.finish_reason(fields),
        usage=usage.of_answer(fields),
        error=api_error.find(answer, failed=failed),
    )
