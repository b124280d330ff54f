"""Tests of the report."""

import json
from collections.abc import Callable

import pytest

from moonpalace_addons.store.tasks import State
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.report import MESSAGES, report, title

ASKED = {
    "model": "kimi-k3",
    "temperature": 0.6,
    "tools": [{"type": "function", "function": {"name": "weather"}}],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "```\n<b>月亮</b>"}],
}
ANSWER = {
    "choices": [
        {
            "message": {
                "role": "assistant",
                "reasoning_content": "Hm.",
                "content": "Far.",
                "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "x"}'}}],
            }
        }
    ]
}


def test_report(call: Callable[..., Call]) -> None:
    """The report has the request, the answer, ids and times, the command to repeat it, and the versions."""
    text = report(
        call(json.dumps(ASKED).encode(), json.dumps(ANSWER).encode(), tags=("a", "b"), category="badcase", note="Odd!")
    )
    title_line, rest = text.split("\n\n", 1)
    assert title_line == "# Bad case: kimi-k3: 200 OK, finish_reason stop"
    assert rest.startswith("Odd!\n\n## Call\n\n| | |\n| --- | --- |\n| moonpalace_id | `1` |\n")
    parts = [
        "| chatcmpl | `chatcmpl-00000001` |",
        "| request_id | `req-00000001-aaaa-bbbb` |",
        "| latency | `1 ms` |",
        "| tags | `a, b` |",
        "## Request",
        "```\nPOST https://api.moonshot.cn/v1/chat/completions\nmodel: kimi-k3\ntemperature: 0.6\ntools: weather\n```",
        "**system**\n\n```\nBe brief.\n```",
        "**user**\n\n````\n```\n<b>月亮</b>\n````",
        "## Response",
        "**assistant**\n\nReasoning:\n\n```\nHm.\n```\n\n```\nFar.\n```\n\n",
        'Tool calls:\n\n```\nweather({"city": "x"})\n```',
        "## Reproduce",
        "sh\ncurl -X 'POST'",
        "## Versions",
        "| MoonPalace | `",
        "| client | `OpenAI/Python 1.50.0` |",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"category": "goodcase"}, "Good case: kimi-k3: 200 OK, finish_reason stop"),
        ({"refused": True}, "Call: kimi-k3: connect: connection refused by 127.0.0.1:26335"),
        (
            {"status_code": 429, "error_message": "slow\ndown", "finish_reason": None},
            "Call: kimi-k3: 429 Too Many Requests, slow down",
        ),
        ({"state": State.IN_FLIGHT, "status_code": None, "finish_reason": None}, "Call: kimi-k3: in_flight"),
        (
            {
                "model_answered": None,
                "model_requested": None,
                "method": "GET",
                "path": "/v1/models",
                "finish_reason": None,
            },
            "Call: GET /v1/models: 200 OK",
        ),
        ({"model_answered": "x" * 500}, "Call: " + "x" * 113 + "…"),
    ],
)
def test_titles(call: Callable[..., Call], changes: dict[str, object], expected: str) -> None:
    """The title has the model and how the call ended, in one line of bounded length."""
    assert title(call(**changes)) == expected


def test_long_conversation(call: Callable[..., Call]) -> None:
    """Only the last messages of a long conversation are shown, each shortened; the report stays small."""
    messages = [{"role": "user", "content": f"m{number} " + "long " * 10_000} for number in range(40)]
    text = report(call(json.dumps({"model": "k", "messages": messages}).encode(), b"x" * 100_000))
    assert f"The last {MESSAGES} of 40 messages:" in text
    assert "m31 " not in text
    assert "m32 " in text
    assert "mpal export --id 1 --curl --redact" in text
    assert len(text) < 60_000


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"{}", b"<html>```</html>", b'{"messages": [1, {"role": 5, "content": null}]}']
)
def test_odd_bodies(call: Callable[..., Call], body: bytes) -> None:
    """Any bodies give a report."""
    assert "## Response" in report(call(body, body))
    assert "Nothing." in report(call(body, None))
