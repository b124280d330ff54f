"""Tests of the text of a request or an answer."""

import json

import pytest

from moonpalace_addons.live.call_text import MAX_SIZE, CallInfo, request_text, response_text

CHAT = "/v1/chat/completions"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
REQUEST = {
    "model": "kimi-k3",
    "stream": True,
    "tools": [{"function": {"name": "look"}}],
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what is it"}, PICTURE]},
        {
            "role": "assistant",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"at":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    ],
}
SHOWN_REQUEST = """\
model kimi-k3 · stream true

── tools (1)
  look

── system
  be brief

── user
  what is it
  [image/png, 3.0 kB]

── assistant
  | hm
  call look (c1)
    {
        "at": 1
    }

── tool (c1)
  a cat"""
ANSWER = {
    "model": "kimi-k3",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A cat."}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cached_tokens": 8},
}


def test_request() -> None:
    """Model and parameters, then the messages with calls laid out and a placeholder for the image."""
    assert request_text(CHAT, json.dumps(REQUEST).encode(), CallInfo()) == SHOWN_REQUEST


def test_answer() -> None:
    """The message, then tokens, cost and warnings."""
    info = CallInfo(price="¥0.02", warnings=["odd\x1b[2J"], ending="1.7s")
    assert response_text(CHAT, json.dumps(ANSWER).encode(), "application/json", info) == (
        "══ answer of kimi-k3 (finish reason length, 1.7s)\n  A cat.\n\n"
        "tokens: 11 prompt (8 cached) + 7 completion = 18 · cost ¥0.02\nwarning: odd\\u001b[2J"
    )


def events(*texts: str) -> bytes:
    """Return events with these texts."""
    values = [{"model": "kimi-k3", "choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    return b"".join(f"data: {json.dumps(value)}\n\n".encode() for value in values)


@pytest.mark.parametrize("label", ["text/event-stream", "application/json", None])
def test_a_stream_that_runs(label: str | None) -> None:
    """Events so far are merged, then listed, whatever the content type; a partial event is not an error."""
    body = events("Once ", "upon") + b'data: {"choices": [{"del'
    text = response_text(CHAT, body, label, CallInfo(ending="still running", times=[(len(body), 5_000_000)])) or ""
    assert text.startswith("══ answer of kimi-k3 (still running)\n  Once upon\n")
    assert '            1          5.0ms          content          "Once "' in text.split("\n")


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        ("/v1/messages", {"system": "be brief", "messages": []}, "── system\n  be brief"),
        ("/v1/responses", {"input": "hi"}, "── user\n  hi"),
        ("/v1/completions", {"prompt": "once"}, "── prompt\n  once"),
        ("/v1/embeddings", {"input": ["a"]}, "── input\n  a"),
    ],
)
def test_faces(path: str, body: object, shown: str) -> None:
    """The requests of all of the API's formats are parsed."""
    assert (request_text(path, json.dumps(body).encode(), CallInfo()) or "").endswith(shown)


def test_an_error_is_an_answer() -> None:
    """The error of the API is shown in words."""
    body = b'{"error": {"type": "rate_limit", "message": "slow down"}}'
    shown = response_text(CHAT, body, "application/json", CallInfo(ending="2ms"))
    assert shown == "══ answer of the API (2ms)\n  rate_limit: slow down\n"


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[1]", b'{"odd": 1}', b"\xff\xfe", b"data: x\n\n", b'{"a'])
def test_what_is_something_else(body: bytes) -> None:
    """Bodies that do not fit their path are left to mitmproxy's own views."""
    assert request_text(CHAT, body, CallInfo()) is None
    assert response_text(CHAT, body, "application/json", CallInfo()) is None
    assert response_text(CHAT, body, None, CallInfo()) is None


def test_what_is_too_large() -> None:
    """Of a larger body the beginning is shown, with a hint at the rest; of a stream, the text of its beginning."""
    large = json.dumps({"messages": [{"role": "user", "content": "x" * MAX_SIZE}]}).encode()
    for text in (
        request_text(CHAT, large, CallInfo(row_id=527)),
        response_text(CHAT, large[:5000], "application/json", CallInfo(row_id=527, cut=len(large) - 5000)),
    ):
        assert text is not None
        assert text.startswith(f"{len(large):,} bytes, which is too much to show here; mpal inspect 527 --chat shows")
        assert len(text) < 5000
    stream = response_text(CHAT, events("Once "), "text/event-stream", CallInfo(cut=7)) or ""
    assert "warning: only the beginning is shown; mpal inspect ID --chat shows all of it" in stream
