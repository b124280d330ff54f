"""Texts of responses that are read without parsing their events."""

import json

import pytest

from moonpalace_addons.wire.chat.event_data import DataReader, make_decoder
from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextEventMatcher, TextRun
from moonpalace_addons.wire.faces.responses import RESPONSES
from moonpalace_addons.wire.faces.responses_merging import ResponseMerger
from moonpalace_addons.wire.faces.table import only_text
from tests.tables import for_each
from tests.wire.faces.response_events import Json, created, delta, values, written


def read_without_parsing(stream: bytes, size: int) -> list[object]:
    """Return the values of a stream as a stream editor reads them: runs of events, else single events."""
    reader, decoder, found = DataReader(), make_decoder(), list[object]()
    for start in range(0, len(stream), size):
        rest = stream[start : start + size]
        while rest and (run := reader.read_run(decoder, rest)) is not None:
            found.append(run)
            rest = rest[run.size :]
        end = rest.find(b"\n\n") + 2 if b"\n\n" in rest else len(rest)
        for piece in (rest[:end], rest[end:]):
            found += [value for event in decoder.feed(piece) for value, _ in reader.read(event).values]
    return found


@pytest.mark.parametrize("size", [7, 400, 100_000])
@pytest.mark.parametrize("padded", [False, True])
def test_numbered_texts_are_read_without_parsing(size: int, padded: bool) -> None:
    """Events that differ in text, number and padding merge as if parsed, and numbering continues after a loop."""
    more: list[Json] = [{"logprobs": [], "obfuscation": "aZ0" * (number % 4)} if padded else {} for number in range(40)]
    said = [
        delta("output_text", f'w{number} 你\n"', content_index=number // 20, **more[number]) for number in range(40)
    ]
    thought = [delta("reasoning_summary_text", f"{number}", 1, summary_index=0, **more[0]) for number in range(5)]
    stream = written([created(), *thought, *said, delta("function_call_arguments", "{}", 2)], start=100)
    events, read = values(stream), read_without_parsing(stream, size)
    parsed, merger = ResponseMerger(), ResponseMerger()
    slow, quick = RESPONSES.make_progress(), RESPONSES.make_progress()
    for event_ in events:
        parsed.feed(event_)
        slow.feed(event_)
    for value in read:
        merger.feed(value)
        quick.feed(value)
    assert merger.result() == parsed.result()
    assert quick.ending() == slow.ending()
    assert sum(isinstance(value, TextDelta | TextRun) for value in read) >= (41 if size == 7 else 3)
    results = [RESPONSES.token_channel(value) for value in read]
    assert set(results) == {None, "visible", "reasoning"}
    if size == 7:
        assert results == [RESPONSES.token_channel(event_) for event_ in events]


@for_each(
    "change",
    [
        {"sequence_number": "8"},
        {"sequence_number": 8.5},
        {"sequence_number": -8},
        {"obfuscation": "a b"},
        {"obfuscation": "\\u0041"},
        {"obfuscation": None},
        {"output_index": 1},
        {"content_index": 1},
        {"item_id": "other"},
        {"logprobs": [{}]},
        {"delta": None},
        {"delta": ["a"]},
        {"delta": ""},
        {"more": 1},
    ],
)
def test_other_events_are_parsed(change: Json) -> None:
    """An event that differs in anything else does not match, and an odd one is not learnt."""
    first = delta("output_text", "a", content_index=0, logprobs=[], sequence_number=7, obfuscation="xyz")
    matcher = TextEventMatcher(only_text)
    matcher.learn(json.dumps(first), first)
    assert matcher.read(json.dumps(first | {"delta": "b", "sequence_number": 8})) == TextDelta(0, "output_text", "b")
    other = json.dumps(first | change)
    if change != {"delta": ""}:
        assert matcher.read(other) is None
    fresh = TextEventMatcher(only_text)
    fresh.learn(other, first | change)
    assert (fresh.read(other) is not None) == (
        change in ({"item_id": "other"}, {"output_index": 1}, {"content_index": 1})
    )
