"""Embeddings: answers with usage, and without text or streams."""

from typing import override

from moonpalace_addons.wire.faces.face import Face, Fields
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


EMBEDDINGS = Embeddings()
