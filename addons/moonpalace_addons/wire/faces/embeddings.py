"""Embeddings: answers with usage, and without text or streams."""

from typing import override

from moonpalace_addons.wire.faces.face import Face, Fields
from moonpalace_addons.wire.faces.turns import Part, Turn, text_turns
from moonpalace_addons.wire.json_value import mapping


class Embeddings(Face):
    """`/v1/embeddings`."""

    name = "embeddings"
    paths = ("/embeddings",)

    @override
    def owns(self, value: Fields) -> bool:
        data = value.get("data")
        first = data[0] if isinstance(data, list) and data else None
        return value.get("object") == "list" and mapping(first).get("object") == "embedding"

    @override
    def request_turns(self, request: object) -> list[Turn]:
        return text_turns("input", mapping(request).get("input"))

    @override
    def answer_turns(self, answer: object) -> list[Turn]:
        data = mapping(answer).get("data")
        if not isinstance(data, list) or not self.owns(mapping(answer)):
            return super().answer_turns(answer)
        return [Turn("answer", (Part("text", f"embeddings: {len(data)}"),))]


EMBEDDINGS = Embeddings()
