r"""Tests of the texts of streams that are not merged: those of Anthropic's messages, of Responses, and others."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat import stream_texts
from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.chat.searched import texts

type Piece = Callable[[str], dict[str, object]]


def texts_of(data: bytes) -> list[str]:
    """Return the texts in which a search finds words."""
    return list(texts(stream_texts.document(data) or ""))


def events(*values: object, ascii_only: bool = True) -> bytes:
    written = (json.dumps(value, ensure_ascii=ascii_only) for value in values)
    return "".join(f"event: x\ndata: {each}\n\n" for each in written).encode("utf-8", "replace")


def anthropic(index: int, kind: str = "text") -> Piece:
    return lambda text: {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": "text_delta", kind: text},
    }


def begun(text: str) -> dict[str, object]:
    return {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": text}}


def responses(item: str, kind: str = "output_text") -> Piece:
    return lambda text: {"type": f"response.{kind}.delta", "item_id": item, "output_index": 0, "delta": text}


def legacy(index: int) -> Piece:
    return lambda text: {"object": "text_completion", "choices": [{"index": index, "text": text}]}


def ndjson(text: str) -> dict[str, object]:
    return {"model": "m", "message": {"role": "assistant", "content": text}}


KINDS: dict[str, tuple[Piece, Piece]] = {
    "blocks": (anthropic(0), anthropic(1)),
    "thinking": (anthropic(0, "thinking"), anthropic(0)),
    "arguments": (anthropic(0, "partial_json"), anthropic(1, "partial_json")),
    "responses": (responses("a"), responses("b")),
    "responses' arguments": (responses("a", "function_call_arguments"), responses("a")),
    "completions": (legacy(0), legacy(1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_texts_that_come_in_turns(kind: str) -> None:
    """The pieces of each text are joined separately; both texts are present, and nothing else."""
    one, other = KINDS[kind]
    data = events(one("Moon"), other("sun"), one("pal"), other("light 月"), one("ace"), other("之暗面"))
    assert texts_of(data) == ["Moonpalace", "sunlight 月之暗面"]


def test_unknown_events() -> None:
    """It is unknown whether events of an unknown kind continue a text: both readings are found."""
    assert texts_of(events(ndjson("Moon"), ndjson("palace"))) == ["Moon", "palace", "Moonpalace"]


def test_a_text_that_begins_with_its_block() -> None:
    """Deltas continue the text of the event that begins a block."""
    assert texts_of(events(begun("Moon"), anthropic(0)("palace"))) == ["Moonpalace"]


def test_what_is_said_again_at_the_end() -> None:
    """A text that is repeated in full at the end is present once."""
    done = {"type": "response.completed", "response": {"output": [{"content": [{"text": "Moonpalace"}]}]}}
    assert texts_of(events(responses("a")("Moon"), responses("a")("palace"), done)) == ["Moonpalace"]


def test_a_text_that_is_sent_whole_each_time() -> None:
    """A text that is sent in full each time counts once, as for the merger."""
    parts = ["The m", "The moon", "The moonpa", "The moonpalace"]
    assert texts_of(events(*map(anthropic(0), parts))) == parts[-1:]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'data: {"delta": {"text": "Mo"}}\ndata: {"delta": {"text": "on"}}\n\n', ["Moon"]),
        (b'data: {"delta": {"text": "Mo"}}\r\rdata: {"delta":\rdata: {"text": "on"}}', ["Moon"]),
        (b'data: {"text": "cut", "delta": {"te\n\n', ["cut"]),
        (b"data: [1, null, \"x\"]\n\ndata: plain\n\n: comment\n\ndata: 5\n\ndata: [DONE]\n\n", []),
        (b'data: [{"choices": [{"text": "in a list"}]}]\n\n', ["in a list"]),
        (b'data: {"id": "content", "type": "text", "name": "arguments"}\n\n', []),
        (b"", []),
    ],
)  # fmt: skip
def test_other_data(data: bytes, expected: list[str]) -> None:
    """Badly separated events are read as usual; for invalid JSON, the search works as before."""
    assert texts_of(data) == expected


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeply nested texts are ignored; for a stream with too many events nothing is joined."""
    deep: object = {"text": "deep"}
    for _ in range(400):
        deep = [deep]
    assert texts_of(events(deep)) == []
    monkeypatch.setattr(stream_texts, "MAX_EVENTS", 2)
    assert texts_of(events(*map(anthropic(0), "ab"))) == ["ab"]
    assert stream_texts.document(events(*map(anthropic(0), "abc"))) is None


def test_an_event_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream with an event beyond the decoder's limit has no texts: it is not read into memory again."""
    monkeypatch.setattr(stream_texts, "make_decoder", partial(make_decoder, limit=1_000))
    assert stream_texts.document(events("a" * 900)) is not None
    assert stream_texts.document(events("a" * 1_100)) is None


def test_secrets_are_masked() -> None:
    """Secrets that only appear when joined are masked: known ones, and those in a known format."""
    formed = "ghp_" + "kJ3vQ9xZ7mW2pL8tR5yB1nC4dF6gH0sAeUiO"
    data = events(*map(anthropic(0), ["my ", "password-of-", "mine and ", formed[:9], formed[9:], " there"]))
    (text,) = texts(stream_texts.document(data, [b"password-of-mine"]) or "")
    assert text.split() == ["my", "*" * 16, "and", "*" * len(formed), "there"]


def test_only_of_streams_that_are_not_merged() -> None:
    """An answer that is not a stream, or not the stream itself, has its own words."""
    assert stream_texts.of_answer(None, None) is None
    assert stream_texts.of_answer(None, b"{}") is None
    assert stream_texts.of_answer(b"data: 1\n\n", b"{}") is None
    assert stream_texts.of_answer(b"data: 1\n\n", b"data: 1\n\n") == "[]"


WORDS = st.text(st.sampled_from('aZé 月🚀\0"\\\n-,ß\u0301'), max_size=40)


@given(WORDS, WORDS, st.lists(st.integers(0, 40), max_size=10), st.sampled_from(sorted(KINDS)), st.booleans())
def test_random_splits(first: str, second: str, cuts: Sequence[int], kind: str, ascii_only: bool) -> None:
    """However two texts are cut, even within an escaped pair, they are complete."""
    one, other = KINDS[kind]
    halves = [text.encode("utf-16-le") for text in (first, second)] if ascii_only else []
    units = [
        [half[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(half), 2)] for half in halves
    ]
    first_units, second_units = units if ascii_only else (list(first), list(second))
    places = [0, *sorted(cuts), 99]
    values = list[object]()
    for start, end in pairwise(places):
        values += [one("".join(first_units[start:end])), other("".join(second_units[start:end]))]
    whole = events(one(first), other(second), ascii_only=ascii_only)
    assert (
        texts_of(events(*values, ascii_only=ascii_only))
        == texts_of(whole)
        == list(dict.fromkeys(filter(None, [first, second])))
    )
