"""Tests of replacing in event streams."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat.merging import DONE, Merger
from moonpalace_cli.redaction.event_strings import rewrite_events
from moonpalace_cli.redaction.replacing import Place, Replacement

EVENTS = Place("events")
SECRET = re.compile("s3cret!")


class Hide:
    """Replace the secret by `(gone)`."""

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Replace each secret."""
        return [Replacement(match.start(), match.end(), "(gone)") for match in SECRET.finditer(text)]

    def binary(self, place: Place, data: bytes) -> bytes:
        """Leave bytes as they are."""
        return data


def hidden(data: bytes) -> bytes:
    """Return a stream with the secret hidden."""
    return rewrite_events(data, EVENTS, Hide())


def chunk(delta: dict[str, object], index: int = 0) -> dict[str, object]:
    """Return a chunk with one delta."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [{"index": index, "delta": delta}]}


def stream(*chunks: dict[str, object]) -> bytes:
    """Return a stream of these chunks."""
    events = [f"data: {json.dumps(each, ensure_ascii=False)}\n\n" for each in chunks]
    return "".join([*events, "data: [DONE]\n\n"]).encode()


def answers(data: bytes) -> list[dict[str, Any]]:
    """Return the messages of a merged stream's choices."""
    decoder = sse.Decoder()
    merger = Merger()
    for event in (*decoder.feed(data), *decoder.close()):
        if event.data != DONE:
            merger.feed(json.loads(event.data))
    choices: Any = merger.result()["choices"]
    return [choice["message"] for choice in choices]


CUTS = [("s3cret!",), ("s3c", "ret!"), ("x s", "3", "cret", "! y"), ("a s3cret! b", "c s3cre", "t!s3cr", "et!")]


@pytest.mark.parametrize("pieces", CUTS)
def test_secret_cut_over_events(pieces: tuple[str, ...]) -> None:
    """However the answer was cut, the secret is removed, and the rest is unchanged."""
    changed = hidden(stream(*(chunk({"content": piece}) for piece in pieces)))
    whole = "".join(pieces).replace("s3cret!", "(gone)")
    assert answers(changed)[0]["content"] == whole
    assert changed.count(b"data:") == len(pieces) + 1


def test_texts_are_kept_apart() -> None:
    """Only pieces of one text are joined: of a choice, of its reasoning, of one of its tool calls."""
    calls = [
        chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        for number, piece in ((0, "s3c"), (1, "ret!"), (0, "ret!"))
    ]
    data = stream(
        chunk({"content": "s3c"}, 0),
        chunk({"content": "s3c"}, 1),
        chunk({"reasoning_content": "ret!"}, 0),
        chunk({"content": "ret!"}, 1),
        *calls,
    )
    first, second = answers(hidden(data))
    assert (first["content"], first["reasoning_content"], second["content"]) == ("s3c", "ret!", "(gone)")
    assert [call["function"]["arguments"] for call in first["tool_calls"]] == ["(gone)", "ret!"]


def test_choice_that_is_alone_in_its_event() -> None:
    """A choice is identified by its index, not by its position in the event."""
    changed = hidden(stream(chunk({"content": "s3c"}, 1), chunk({"content": "no"}, 0), chunk({"content": "ret!"}, 1)))
    assert sorted(message["content"] for message in answers(changed)) == ["(gone)", "no"]


@pytest.mark.parametrize(
    ("events", "name"),
    [
        ([{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "{}"}}], "text"),
        ([{"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": "{}"}], "delta"),
    ],
)
def test_other_faces(events: list[dict[str, object]], name: str) -> None:
    """The deltas of the other two faces are joined as well."""
    texts = [json.dumps(events[0]).replace("{}", piece) for piece in ("a s3c", "ret! b")]
    changed = hidden("".join(f"event: x\ndata: {text}\n\n" for text in texts).encode()).decode()
    assert "".join(re.findall(rf'"{name}": "([^"]*)"', changed)).replace("text_delta", "") == "a (gone) b"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b": hb\n\n", b": hb\n\n"),
        (b": s3cret!\n\nid: s3cret!\nretry: 5\n\n", b": (gone)\n\nid: (gone)\nretry: 5\n\n"),
        (b"data: s3cret!\n\n", b"data: (gone)\n\n"),
        (b"data: a\ndata: s3cret!\n\n", b"data: a\ndata: (gone)\n\n"),
        (b'\xef\xbb\xbfdata:{"a":"s3cret!"}\r\n\r\n', b'\xef\xbb\xbfdata: {"a":"(gone)"}\r\n\r\n'),
        (b'data: {"a":"s3cret!"}\r\rdata: {"b": 1.10}\r\n\r\n', b'data: {"a":"(gone)"}\r\rdata: {"b": 1.10}\r\n\r\n'),
        (b'data: {"a":\ndata: "s3cret!"}\n\n', b'data: {"a":\ndata: "(gone)"}\n\n'),
        (b'data: {"content": "s3cret!', b'data: {"content": "(gone)'),
        (b"data: \xff s3cret!\n\n: \xff\n", "data: \ufffd (gone)\n\n".encode() + b": \xff\n"),
        (b'data: {"a":"\\ud800 s3cret!"}\n\n', b'data: {"a":"\\ud800 (gone)"}\n\n'),
    ],
)
def test_everything_else_stays(data: bytes, expected: bytes) -> None:
    """Comments, other fields, line ends and events without the secret are unchanged byte for byte."""
    assert hidden(data) == expected


def test_large_event() -> None:
    """An event beyond the limit of unfinished streams is visited."""
    data = b'data: {"a": "' + b"x" * (sse.DEFAULT_EVENT_LIMIT + 1) + b' s3cret!"}\n\n'
    assert b"s3cret" not in hidden(data)


@given(st.lists(st.sampled_from(["s3", "cret!", "s3cret!", "s", "3cret", "!", " ", "中", ""]), max_size=12))
def test_any_cut(pieces: list[str]) -> None:
    """However it is cut, a client's joined text has the secret replaced."""
    changed = hidden(stream(chunk({"content": ""}), *(chunk({"content": piece}) for piece in pieces)))
    whole = "".join(pieces).replace("s3cret!", "(gone)")
    assert answers(changed)[0]["content"] == whole
