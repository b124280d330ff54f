"""The data of the API's events, and which of it cannot be read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat.event_data import Data, DataReader, in_runs, make_decoder, read_data
from moonpalace_addons.wire.chat.merging import Merger
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.sse import Event
from tests.tables import for_each

A, B = {"a": 1}, {"b": "}"}
LINE_A, LINE_B = json.dumps(A), json.dumps(B)


def said(*values: object, **more: bool) -> Data:
    return Data(tuple((value, None) for value in values), **more)


@for_each(
    ("data", "expected"),
    [
        (LINE_A, said(A)),
        (f" {LINE_A} ", said(A)),
        ("[1]", said([1])),
        ('{"a":\n1}', said(A)),
        (f"{LINE_A}\n{LINE_B}", said(A, B)),
        (f"{LINE_A}\n\n{LINE_B}\r{LINE_A}", said(A, B, A)),
        (f"{LINE_A}\n[DONE]", said(A, is_done=True)),
        (f"{LINE_A}\n{{nope", said(A, is_odd=True)),
        (f"nope\n{LINE_A}", said(A, is_odd=True)),
        ("[DONE]", said(None, is_done=True)),
        (" [DONE]\t", said(None, is_done=True)),
        ("", said(None)),
        ("null", said(None)),
        ("hello", said(None, is_odd=True)),
        ("{nope\n{nope", said(None, is_odd=True)),
        (LINE_A + LINE_B, said(None, is_odd=True)),
    ],
)
def test_what_an_event_says(data: str, expected: Data) -> None:
    """JSON is one value; other data is tried line by line, and the rest cannot be read."""
    assert read_data(Event(data)) == expected


@pytest.mark.parametrize("name", ["ping", "heartbeat", "keep-alive"])
def test_keep_alives(name: str) -> None:
    """An event named as a keep-alive contains nothing that could be missed."""
    assert read_data(Event("still here", name)) == said(None)
    assert read_data(Event("still here")) == said(None, is_odd=True)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event('{"error": {"message": "broke"}}'), "broke"),
        (Event(f'{LINE_A}\n{{"error": {{"message": "broke"}}}}'), "broke"),
        (Event("overloaded", "error"), "overloaded"),
    ],
)
def test_errors(event: Event, message: str) -> None:
    """An error is reported with the value that contains it; plain text in an event named "error" can be read."""
    data = read_data(event)
    error = data.values[-1][1]
    assert error is not None
    assert (error.message, data.is_odd) == (message, False)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (f"data: {LINE_A}\ndata: {LINE_B}\n\ndata: [DONE]\n\n", [LINE_A, LINE_B, "[DONE]"]),
        (f"data: {LINE_A}\ndata: {LINE_B}\ndata: [DONE]\n", [LINE_A, LINE_B, "[DONE]"]),
        (f"data: [DONE]\ndata: {LINE_B}\n\n", ["[DONE]", LINE_B]),
        ('data: {"a":\ndata: 1}\n\n', ['{"a":\n1}']),
        ('data: {"a": {"b": {}\ndata: }}\n\n', ['{"a": {"b": {}\n}}']),
        ("data: 1\ndata: 2\n\n", ["1\n2"]),
    ],
)
def test_where_events_are_parted(stream: str, expected: list[str]) -> None:
    """A line that is a complete JSON object is an event; lines that are parts of one belong together."""
    decoder = make_decoder()
    assert [event.data for event in (*decoder.feed(stream.encode()), *decoder.close())] == expected


EVENTS = st.lists(
    st.builds(
        lambda choice, delta, more: json.dumps({"id": "a", "choices": [{"index": choice, "delta": delta} | more]}),
        st.integers(0, 1),
        st.dictionaries(st.sampled_from(["content", "reasoning_content", "role", "note"]), st.text(max_size=3)),
        st.sampled_from(
            [{}, {}, {}, {"finish_reason": "stop"}, {"finish_reason": None}, {"message": {"content": "m"}}]
        ),
    )
    | st.sampled_from(['{"usage": {"total_tokens": 1}, "choices": []}', "[DONE]", "x", '{"error": {"message": "e"}}']),
    max_size=30,
)


@given(EVENTS)
def test_runs_merge_alike(events: list[str]) -> None:
    """Texts fed in runs merge like single ones."""
    single, runs, reader = Merger(), Merger(), DataReader()
    values = [value for event in events for value in reader.read(Event(event)).values]
    for merger, each in ((single, values), (runs, list(in_runs(values)))):
        for value, error in each:
            merger.feed(value, error)
    assert (runs.result(), runs.doubts) == (single.result(), single.doubts)


@given(EVENTS)
def test_what_is_not_parsed_merges_alike(events: list[str]) -> None:
    """A stream merges to the same, and its events have the same channels, whether or not each is parsed."""
    quick, slow, reader = Merger(), Merger(), DataReader()
    for event in map(Event, events):
        for merger, data in ((quick, reader.read(event)), (slow, read_data(event))):
            for value, error in data.values:
                merger.feed(value, error)
        channels = [
            [CHAT_COMPLETIONS.token_channel(value) for value, _ in data.values]
            for data in (reader.read(event), read_data(event))
        ]
        assert channels[0] == channels[1]
    assert (quick.result(), quick.doubts) == (slow.result(), slow.doubts)
