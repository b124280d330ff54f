"""Which messages of a WebSocket belong to which call."""

import json

import pytest

from moonpalace_addons.wire.faces.lanes import Lanes

CREATE = {"type": "response.create", "model": "m", "input": "Hi"}


def dumped(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def event(kind: str, **more: object) -> bytes:
    return dumped(type=f"response.{kind}", **more)


def test_one_after_another() -> None:
    """Two concurrent requests are answered in order; messages after the last answer belong to no call."""
    lanes = Lanes()
    assert [lanes.receive_request(dumped(**CREATE)), lanes.receive_request(dumped(**CREATE))] == [1, 2]
    said = [event("created"), event("output_text.delta", delta='"error"'), event("completed"), event("done")]
    assert [lanes.receive_event(message) for message in said] == [(1, False), (1, False), (1, True), (None, False)]
    assert [lanes.receive_event(event("created")), lanes.receive_event(event("done"))] == [(2, False), (2, True)]
    assert lanes.receive_event(event("output_text.delta")) == (None, False)
    assert lanes.receive_event(event("completed")) == (None, False)


@pytest.mark.parametrize("last", ["completed", "incomplete", "failed"])
def test_ends(last: str) -> None:
    """Each of these ends a call, and so does an error before or during its answer."""
    lanes = Lanes()
    lanes.receive_request(dumped(**CREATE))
    assert lanes.receive_event(event(last)) == (1, True)
    lanes.receive_request(dumped(**CREATE))
    assert lanes.receive_event(dumped(type="error", status=400, error={"code": "previous_response_not_found"})) == (
        2,
        True,
    )


def test_streams_side_by_side() -> None:
    """With stream_id each queue has its own order."""
    lanes = Lanes()
    asked = [lanes.receive_request(dumped(**CREATE, stream_id=name)) for name in ("a", "b", "a")] + [
        lanes.receive_request(dumped(**CREATE))
    ]
    assert asked == [1, 2, 3, 4]
    said = [("a", "created"), ("b", "output_text.delta"), ("b", "completed"), ("a", "completed"), ("a", "created")]
    results = [lanes.receive_event(event(kind, stream_id=name)) for name, kind in said]
    assert results == [(1, False), (2, False), (2, True), (1, True), (3, False)]
    assert lanes.receive_event(event("output_text.delta")) == (4, False)
    assert lanes.receive_event(event("created", stream_id="other")) == (None, False)


def test_an_error_without_a_queue() -> None:
    """It belongs to the only existing queue."""
    lanes = Lanes()
    lanes.receive_request(dumped(**CREATE, stream_id="a"))
    assert lanes.receive_event(event("output_text.delta")) == (1, False)
    assert lanes.receive_event(dumped(type="error", error={})) == (1, True)


@pytest.mark.parametrize("size", [120, 200_000])
def test_messages_of_which_the_end_is_unknown(size: int) -> None:
    """A call whose request or answer is too long to be kept still begins and ends in its queue."""
    lanes = Lanes()
    text = '{"type": "response.completed", "stream_id": "c"}' + "x" * size
    assert (
        lanes.receive_request(dumped(type="response.create", stream_id="a", input=text)[: size // 2 + 60], is_cut=True)
        == 1
    )
    lanes.receive_request(dumped(**CREATE, stream_id="b"))
    output = {"response": {"output": [{"type": "message", "text": text}]}}
    cut = event("completed", stream_id="a", **output)[: size // 2 + 60]
    assert lanes.receive_event(cut, is_cut=True) == (1, True)
    assert lanes.receive_event(event("completed", stream_id="b")) == (2, True)


@pytest.mark.parametrize(
    "odd",
    [r'"\ud83d"', "NaN", "1e999", "[" * 900 + "]" * 900, '"' + "x" * 100_000 + r'\ud83d"'],
    ids=["half an emoji", "NaN", "infinity", "deep", "long"],
)
def test_what_strict_parsers_refuse(odd: str) -> None:
    """A call with half a surrogate pair or NaN begins and ends like any other; so does one with an invalid queue."""
    lanes = Lanes()
    assert lanes.receive_request(b'{"type":"response.create","stream_id":"a","input":%s}' % odd.encode()) == 1
    assert lanes.receive_request(b'{"type":"response.create","stream_id":5}') == 2
    assert lanes.receive_event(b'{"type":"response.completed","stream_id":"a","x":%s}' % odd.encode()) == (1, True)
    assert lanes.receive_event(b'{"type":"response.completed","stream_id":5}') == (2, True)


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"hello", b"[]", b'"response.create"', b'{"type":3,"a":"response.create"}'),
        *(b'{"type":"response.cancel"}', b'{"a":"response.create"}', b'{"type":"response.create"', b"\xff"),
        b"[" * 100_000 + b'"response.create"',
    ],
)
def test_other_messages(message: bytes) -> None:
    """Nothing else begins a call, and nothing is raised."""
    lanes = Lanes()
    assert lanes.receive_request(message) is None
    assert lanes.receive_event(message) == (None, False)
