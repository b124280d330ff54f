"""Tests of collecting the texts of a call without their places."""

import json
import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.redaction.call_strings import rewrite
from moonpalace_cli.redaction.checking import Collector, texts_of
from moonpalace_cli.redaction.event_strings import rewrite_events
from moonpalace_cli.redaction.event_texts import event_texts
from moonpalace_cli.redaction.json_strings import replacements
from moonpalace_cli.redaction.json_texts import texts_in
from moonpalace_cli.redaction.replacing import Place
from tests.dialects import STREAMS
from tests.tables import for_each

NUMBER = re.compile(r"-?[0-9][0-9.eE+-]*")


def words(texts: Iterable[str]) -> set[str]:
    """Return texts that may hold a secret."""
    return {text for text in texts if text and not NUMBER.fullmatch(text)}


def visited(data: bytes) -> set[str]:
    """Return a stream's texts as seen by a visitor."""
    collector = Collector()
    rewrite_events(data, Place("events"), collector)
    return words(collector.texts)


TEXTS = st.text(st.sampled_from('ab"\\{[]},:1é\n'), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | TEXTS.map(json.dumps),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3) | inner.map(json.dumps),
    max_leaves=12,
)


@given(JSON)
def test_texts_of_json(value: object) -> None:
    """The same keys and strings are collected as by a visitor, including JSON in strings."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)[1:]):
        collector = Collector()
        replacements(text, Place("body"), collector)
        assert words(texts_in(text)) == words(collector.texts)


def test_equal_keys() -> None:
    """A value under a repeated key is collected."""
    assert set(texts_in('{"a": "one", "a": {"b": "two"}, "a": 1}')) == {"a", "b", "one", "two"}


DELTA = st.fixed_dictionaries(
    {"index": st.integers(0, 1), "delta": st.dictionaries(st.sampled_from(["content", "reasoning_content"]), TEXTS)}
)
CHUNK = st.fixed_dictionaries(
    {"id": st.sampled_from(["c-1", "c-2"]), "created": st.integers(-1, 9) | st.floats(0, 1)},
    optional={
        "choices": st.lists(DELTA, max_size=2),
        "type": st.sampled_from(["content_block_start", "content_block_delta", "x.delta"]),
        "index": st.integers(0, 1),
        "item_id": st.sampled_from(["i", "j"]),
        "delta": TEXTS | st.fixed_dictionaries({"text": TEXTS}),
        "content_block": st.fixed_dictionaries({"text": TEXTS}),
        "other": JSON,
    },
)
LINES = st.sampled_from(
    ["data: [DONE]", ": hb", "event: x", 'data: {"id": "c-1", "created": 01}', 'data: {"id": "\t"}']
)


@given(st.lists(CHUNK.map(lambda chunk: f"data: {json.dumps(chunk)}") | LINES, max_size=8))
def test_texts_of_any_stream(events: list[str]) -> None:
    """The same texts of a stream are collected as by a visitor, joined across cuts."""
    data = "".join(f"{event}\n\n" for event in events).encode()
    assert words(event_texts(data)) >= visited(data)


@for_each("name", STREAMS)
def test_texts_of_streams(name: str) -> None:
    """The same texts of recorded streams are collected as by a visitor."""
    assert words(event_texts(STREAMS[name].data)) >= visited(STREAMS[name].data)


def test_events_of_a_shape_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of events that only differ in a text, a number and an id, only the first is parsed."""
    events = [
        {"id": f"c-{number}", "created": number, "choices": [{"index": 0, "delta": {"content": f"{number}, "}}]}
        for number in range(20)
    ]
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    learnt: list[str] = []

    def note(text: str, *rest: object) -> None:
        learnt.append(text)
        learn(text, *rest)

    learn = event_texts.__globals__["learn"]
    monkeypatch.setitem(event_texts.__globals__, "learn", note)
    found = event_texts(data)
    assert len(learnt) == 1
    assert "".join(f"{number}, " for number in range(20)) in found
    assert {f"c-{number}" for number in range(20)} <= set(found)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"request": b'{"a": "b"}', "response": b"\xff\xfe", "tags": ("t",)},
        {
            "request": None,
            "response": None,
            "note": "n",
            "error_message": "e",
            "warnings": ("w",),
            "query": "a=b%20c&d",
        },
        {"response": b'data: {"text":"x"}\n\n', "events": b'data: {"text":"x"}\n\n'},
        {"response": None, "events": b'{"text": "x"}', "is_stream": False, "response_content_type": "application/json"},
    ],
    ids=range(5),
)
def test_texts_of_a_call(call: Callable[..., Call], changes: dict[str, object]) -> None:
    """The same texts of a call are collected as by a visitor."""
    given, collector = call(**changes), Collector()
    rewrite(given, collector)
    assert words(texts_of(given)) >= words(collector.texts)
