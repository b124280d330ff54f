"""Tests of the lines of a batch file."""

import json
from collections.abc import Callable

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.openai_batch import line


def test_line(call: Callable[..., Call]) -> None:
    """A line has the four members of the API, and a body without streaming."""
    body = {"model": "kimi-k3", "messages": [{"role": "user", "content": "中\n"}], "temperature": 0.6}
    streamed = body | {"stream": True, "stream_options": {"include_usage": True}}
    text = line(call(json.dumps(streamed).encode(), id=13, path="/proxy/v1/chat/completions"))
    assert "\n" not in text
    assert json.loads(text) == {
        "custom_id": "moonpalace-13",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
