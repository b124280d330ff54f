"""Legacy completions: merged, ended early and judged, wherever the stream is cut."""

import json
from typing import Any

import pytest

from moonpalace_addons.wire.chat.stream_editor import Plan
from moonpalace_addons.wire.faces.completions import COMPLETIONS
from moonpalace_addons.wire.faces.summary import summarize
from tests.cuts import every_cut, pieces_of
from tests.loop_word import guard_of
from tests.wire.merging import edited

type Json = dict[str, Any]

HEAD: Json = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(text: str, reason: str | None = None, index: int = 0, **more: object) -> Json:
    return {**HEAD, "choices": [{"index": index, "text": text, "logprobs": None, "finish_reason": reason, **more}]}


def written(*chunks: Json, done: bool = True) -> bytes:
    lines = [json.dumps(each) for each in chunks] + (["[DONE]"] if done else [])
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def logprobs(token: str, offset: int) -> Json:
    return {"tokens": [token], "token_logprobs": [-0.1], "text_offset": [offset]}


STREAM = written(
    chunk("Hel", logprobs=logprobs("Hel", 0)),
    chunk("", index=1),
    chunk("lo", logprobs=logprobs("lo", 3)),
    chunk("Hi", "stop", index=1),
    chunk("", "length"),
    {**HEAD, "choices": [], "usage": USAGE},
)
ANSWER = {
    **HEAD,
    "choices": [
        {
            "index": 0,
            "text": "Hello",
            "logprobs": {"tokens": ["Hel", "lo"], "token_logprobs": [-0.1, -0.1], "text_offset": [0, 3]},
            "finish_reason": "length",
        },
        {"index": 1, "text": "Hi", "logprobs": None, "finish_reason": "stop"},
    ],
    "usage": USAGE,
}


def test_merged() -> None:
    """Whole, byte by byte and cut anywhere, a stream merges to the answer without streaming, and passes unchanged."""
    for pieces in every_cut(STREAM):
        assert json.loads(edited(Plan(COMPLETIONS, coerce=True), pieces)) == ANSWER
    assert edited(Plan(COMPLETIONS), pieces_of(STREAM)) == STREAM
    summary = summarize(ANSWER)
    assert (summary.id, summary.finish_reason, summary.usage.total_tokens) == ("cmpl-1", "length", 5)


def test_a_loop_is_ended() -> None:
    """The open choices get a finish reason, and the stream its `[DONE]`."""
    begun = written(chunk("a", "stop", index=1), chunk("LOOP"), done=False)
    stream = begun + written(chunk("more"))
    plan = Plan(COMPLETIONS, make_guard=lambda: guard_of(COMPLETIONS))
    for pieces in every_cut(stream):
        output = edited(plan, pieces)
        assert output.startswith(begun)
        assert [json.loads(line[6:]) for line in output[len(begun) :].decode().splitlines() if "{" in line] == [
            chunk("", "repeat")
        ]
        assert output.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("value", "channel"),
    [(chunk("a"), "visible"), (chunk(""), None), ({"choices": []}, None), (None, None)],
)
def test_token_channels(value: object, channel: str | None) -> None:
    """Text is visible."""
    assert COMPLETIONS.token_channel(value) == channel


def test_requests_for_a_stream() -> None:
    """A stream is asked for as with chat completions."""
    changed = COMPLETIONS.ask_for_stream(b'{"prompt":"a"}')
    assert changed is not None
    assert json.loads(changed.body) == {"prompt": "a", "stream": True, "stream_options": {"include_usage": True}}


def test_warnings() -> None:
    """Truncated answers are reported, and token counts that contradict each other."""
    assert [each[:40] for each in COMPLETIONS.warnings({}, ANSWER, streamed=True)] == [
        "it seems that your max_tokens value is t"
    ]
    done = {**HEAD, "choices": [{"text": "a", "finish_reason": "stop"}], "usage": USAGE | {"total_tokens": 9}}
    assert [each[:24] for each in COMPLETIONS.warnings({}, done, streamed=True)] == ["usage.total_tokens is 9,"]
