"""Which face a call belongs to."""

import json

import pytest

from moonpalace_addons.wire.faces.table import FACES, UNKNOWN, error_body, face_of, face_of_path
from tests.tables import for_each

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


@for_each("path", PATHS)
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
    """At an unknown path, the first value that only one face can send decides."""
    assert face_of("/generate", [None, {"type": "ping"}, VALUES[name]]).name == name
    assert face_of("/v1/chat/completions", [VALUES[name]]).name == name


@pytest.mark.parametrize("name", VALUES)
def test_the_path_wins_if_the_answer_may_be_of_its_face(name: str) -> None:
    """Stray events of another face do not matter, nor do values of no face."""
    path = next(face.paths[0] for face in FACES if face.name == name)
    assert face_of(path, [VALUES["messages"], VALUES["chat.completions"], VALUES[name]]).name == name
    assert face_of(path, [None, {"error": {}}, 3]).name == name


def test_what_has_no_face() -> None:
    """Neither the path nor the shape belongs to a face."""
    assert face_of("/v1/models", [{"object": "list", "data": []}]) is UNKNOWN


@pytest.mark.parametrize(
    ("path", "anthropic"),
    [(path, False) for path in ("", "/v1/chat/completions", "/v1/responses?a=/v1/messages", "/v1/threads/a/messages")]
    + [
        (path, True)
        for path in ("/anthropic/v1/models", "/v1/messages", "/v1/messages?beta=true", "/v1/messages/count_tokens")
    ],
)
def test_our_own_errors(path: str, anthropic: bool) -> None:
    """Our own errors have the form that the client of a face reads, whatever its path ends in."""
    body = error_body("没有", "upstream_refused", path)
    assert "没有".encode() in body
    error = {"type": "upstream_refused", "message": "没有"}
    assert json.loads(body) == {**({"type": "error"} if anthropic else {}), "error": error}


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}, {}]}, ["stop", "length"]),
        ({"object": "text_completion", "choices": [{"text": "a", "finish_reason": "stop"}]}, ["stop"]),
        ({"type": "message", "stop_reason": "end_turn"}, ["end_turn"]),
        ({"object": "response", "status": "completed"}, ["completed"]),
        ({}, []),
    ],
)
def test_finish_reasons(answer: dict[str, object], reasons: list[str]) -> None:
    """There is a reason for each part of an answer that has one."""
    assert face_of("", [answer]).finish_reasons(answer) == reasons
