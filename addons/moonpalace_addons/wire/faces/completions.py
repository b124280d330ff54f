"""Legacy completions: a prompt, and `choices` with a `text`."""

from typing import override

from moonpalace_addons.wire.chat.completion import choices, finish_reason
from moonpalace_addons.wire.faces.face import Face, Fields
from moonpalace_addons.wire.json_value import text_in


class Completions(Face):
    """`/v1/completions`."""

    name = "completions"
    paths = ("/completions",)
    part = "choice"

    @override
    def owns(self, value: Fields) -> bool:
        return value.get("object") == "text_completion"

    @override
    def answer_id(self, answer: Fields) -> str | None:
        return text_in(answer, "id") if next(choices(answer), None) is not None else None

    @override
    def finish_reason(self, answer: Fields) -> str | None:
        return finish_reason(answer)


COMPLETIONS = Completions()
