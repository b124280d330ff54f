"""The events of a stream as lines."""

import json
from collections.abc import Callable

import pytest

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.events import lines
from moonpalace_cli.export.unfit import UnfitError

STREAM = b"event: begin\nid: 7\ndata: \xe6\x9c\x88\ndata: 2\n\ndata: [DONE]\n\n"


def test_each_event_is_a_line(call: Callable[..., Call]) -> None:
    """It has its text and the time of its arrival."""
    text = lines(call(events=STREAM, event_times=(1_500_000, 2_000_000_000)))
    first, second = map(json.loads, text.split("\n"))
    assert first == {"call_id": 1, "position": 1, "at_ms": 1.5, "event": "begin", "id": "7", "data": "月\n2"}
    assert (second["position"], second["at_ms"], second["data"]) == (2, 2000.0, "[DONE]")
    assert "月" in text


def test_times_that_are_not_known(call: Callable[..., Call]) -> None:
    """An imported call may have no times."""
    assert [json.loads(line)["at_ms"] for line in lines(call(events=STREAM)).split("\n")] == [None, None]


def test_a_call_without_a_stream(call: Callable[..., Call]) -> None:
    """It does not fit the format."""
    with pytest.raises(UnfitError, match="has no events"):
        lines(call(response=b"{}"))
