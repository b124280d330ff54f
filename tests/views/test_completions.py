"""Tests of bodies as parsed JSON."""

import pytest

from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.views.completions import request_and_answer

STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\ndata: {"choices":[{"index":0,"delta":{"content":"!"}'
)


@pytest.mark.parametrize(
    ("bodies", "request_body", "answer"),
    [
        (Bodies(b'{"a":1}', b'{"b":2}', None), {"a": 1}, {"b": 2}),
        (Bodies(b"text", b"<html>", None), None, None),
        (Bodies(b"\xff", None, None), None, None),
        (Bodies(None, b"", None), None, None),
        (Bodies(None, b'{"b":2}', b"data: x\n\n"), None, {"b": 2}),
        (Bodies(None, None, b'{"b":2}'), None, {"b": 2}),
        (Bodies(None, None, b"data: x\n\n"), None, None),
        (Bodies(None, b"1" * 5000, None), None, None),
    ],
)
def test_bodies(bodies: Bodies, request_body: object, answer: object) -> None:
    """Bodies are parsed; for a stream, its merged completion."""
    assert request_and_answer(bodies, "/v1/chat/completions") == (request_body, answer)


def test_a_stream_under_way_is_merged() -> None:
    """The events so far are merged to the beginning of an answer."""
    _, answer = request_and_answer(Bodies(None, None, STREAM), "")
    assert isinstance(answer, dict)
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == "Hi"
