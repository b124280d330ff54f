"""How embeddings are shown."""

from moonpalace_addons.wire.faces.embeddings import EMBEDDINGS
from moonpalace_addons.wire.faces.turns import Part, Turn


def test_turns() -> None:
    """Texts are shown, tokens as numbers, and the count of embeddings; an error is shown as one."""
    assert EMBEDDINGS.request_turns({"input": "a"}) == [Turn("input", (Part("text", "a"),))]
    assert EMBEDDINGS.request_turns({"input": ["a", "b"]}) == [Turn("input", (Part("text", text),)) for text in "ab"]
    assert EMBEDDINGS.request_turns({"input": [1, 2]}) == [Turn("input", (Part("json", [1, 2]),))]
    assert EMBEDDINGS.request_turns({}) == []
    answer = {"object": "list", "data": [{"object": "embedding", "embedding": [0.5]}] * 2}
    assert EMBEDDINGS.answer_turns(answer) == [Turn("answer", (Part("text", "embeddings: 2"),))]
    assert EMBEDDINGS.answer_turns({"error": {"message": "no"}}) == [Turn("error", (Part("text", "no"),))]
