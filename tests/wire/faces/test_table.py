"""Which face a call belongs to."""

import pytest

from moonpalace_addons.wire.faces.table import FACES, UNKNOWN, face_of, face_of_path

PATHS = {
    "/v1/chat/completions": "chat.completions",
    "/proxied/api/chat/completions": "chat.completions",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
    "/anthropic/v1/messages": "messages",
    "/anthropic/messages": "messages",
    "/v1/threads/thread_1/messages": "",
    "/v1/messages/count_tokens": "",
    "/v1/chat/completions/1": "",
    "/v1/models": "",
    "": "",
}


@pytest.mark.parametrize("path", PATHS)
def test_the_end_of_a_path_names_the_face(path: str) -> None:
    """Whatever comes before it, as gateways add; other endpoints have no face."""
    assert face_of_path(path).name == PATHS[path]


def test_names_are_unique() -> None:
    """Each face has its own name and paths."""
    assert len({face.name for face in FACES}) == len({path for face in FACES for path in face.paths[:1]}) == len(FACES)


VALUES: dict[str, object] = {
    "chat.completions": {"object": "chat.completion.chunk", "choices": []},
    "completions": {"object": "text_completion", "choices": []},
    "embeddings": {"object": "list", "data": [{"object": "embedding"}]},
    "responses": {"type": "response.created", "response": {}},
    "messages": {"type": "message_start", "message": {}},
}


@pytest.mark.parametrize("name", VALUES)
def test_the_shape_decides_where_the_path_does_not(name: str) -> None:
    """At an unknown path the first value that one face alone can send decides, whatever comes before it."""
    assert face_of("/generate", [None, {"type": "ping"}, VALUES[name]]).name == name
    assert face_of("/v1/chat/completions", [VALUES[name]]).name == name


@pytest.mark.parametrize("name", VALUES)
def test_the_path_wins_if_the_answer_may_be_of_its_face(name: str) -> None:
    """One stray event of another face changes nothing, nor do values of no face."""
    path = next(face.paths[0] for face in FACES if face.name == name)
    assert face_of(path, [VALUES["messages"], VALUES["chat.completions"], VALUES[name]]).name == name
    assert face_of(path, [None, {"error": {}}, 3]).name == name


def test_what_has_no_face() -> None:
    """Neither path nor shape tell."""
    assert face_of("/v1/models", [{"object": "list", "data": []}]) is UNKNOWN
