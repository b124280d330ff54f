"""Tests of cutting bodies into chunks."""

import base64
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonpalace_addons.store.write.body_parts import (
    JSON_BEGINS,
    MAX_OTHER_PIECE_SIZE,
    MAX_PIECE_SIZE,
    MIN_CUT_SIZE,
    MIN_PIECE_SIZE,
    OWN_PIECE_SIZE,
    cut,
)
from tests.tables import for_each

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(["messages", "tools", "system", "input", "model", "stream", 'a"b', "语"])
SPACE = st.text(" \t\r\n", max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Generate an object: with white space anywhere, repeated keys, and lists under the keys where bodies are cut."""
    escaped = draw(st.booleans())

    def space() -> str:
        return draw(SPACE)

    def written(value: object) -> str:
        return json.dumps(value, ensure_ascii=escaped)

    members = []
    for key in draw(st.lists(KEYS, max_size=5)):
        elements = draw(st.lists(JSON, max_size=8))
        listed = ",".join(space() + written(element) + space() for element in elements)
        value = f"[{space()}{listed}]" if draw(st.booleans()) else written(draw(JSON))
        members.append(f"{space()}{written(key)}{space()}:{space()}{value}{space()}")
    return f"{space()}{{{','.join(members) or space()}}}{space()}".encode("utf-8", "surrogatepass")


@settings(max_examples=60)
@given(bodies() | bodies().flatmap(lambda body: st.integers(0, len(body)).map(lambda at: body[:at] + b"," + body[at:])))
def test_joined_pieces_are_the_body(body: bytes) -> None:
    """Whatever the JSON, valid or not: joined, the pieces are the body, and each is valid text if the body is."""
    for padded in (body, body + b" " * MIN_CUT_SIZE):
        pieces = cut(padded)
        assert b"".join(pieces) == padded
        assert all(pieces) or padded == b""
        longest = MAX_PIECE_SIZE if body.lstrip()[:1] in JSON_BEGINS else MAX_OTHER_PIECE_SIZE
        assert max(map(len, pieces)) <= max(longest, MIN_CUT_SIZE)
        for piece in pieces if is_utf8(padded) else []:
            piece.decode()


@settings(max_examples=100)
@given(st.binary(max_size=100), st.integers(0, 200))
def test_binary_comes_back(data: bytes, times: int) -> None:
    """Joined, the pieces of any bytes are these bytes."""
    assert b"".join(cut(data * times)) == data * times


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def request(*messages: object, **rest: object) -> bytes:
    return json.dumps({"model": "kimi-k3", "messages": list(messages), **rest}, ensure_ascii=False).encode()


def turns(count: int, length: int = 700) -> list[object]:
    return [{"role": "user", "content": f"{number} " + "word " * (length // 5)} for number in range(count)]


@for_each("length", [20, MIN_PIECE_SIZE, 700, OWN_PIECE_SIZE, 3 * MAX_PIECE_SIZE])
@for_each("rest", [{}, {"tools": turns(4)}, {"tools": turns(1), "user": "语" * OWN_PIECE_SIZE}])
def test_a_history_that_grows_is_found_again(length: int, rest: dict[str, object]) -> None:
    """A turn adds about as many bytes in pieces as in messages, wherever the tools and the rest are."""
    before, new = request(*turns(30, length), **rest), request(*turns(32, length), **rest)
    fresh = set(cut(new)) - set(cut(before))
    assert sum(map(len, fresh)) <= len(new) - len(before) + 2 * MIN_PIECE_SIZE + 100


@pytest.mark.parametrize("key", ["messages", "tools", "system", "input"])
def test_a_large_element_is_a_piece_wherever_it_stands(key: str) -> None:
    """A large element gives the same pieces, whatever small ones precede it; a grown one does up to its old end."""
    text = "data:" + base64.b64encode(random.Random(1).randbytes(3 * MAX_PIECE_SIZE)).decode()
    large = {"content": [{"type": "image_url", "image_url": {"url": text}}]}
    one, other = (
        json.dumps({"model": "k", key: [*small, large], "n": 1}).encode() for small in (turns(1, 20), turns(3, 20))
    )
    shared = set(cut(one)) & set(cut(other))
    assert sum(map(len, shared)) > 0.7 * len(json.dumps(large))
    shorter, longer = (json.dumps({"model": "k", key: [text + end], "n": 1}).encode() for end in ("", "and more"))
    assert len(set(cut(longer)) - set(cut(shorter))) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x" * MIN_CUT_SIZE,
        request(*turns(1, 100)),
        b"\xff" * MAX_PIECE_SIZE,
        b"[" * MAX_PIECE_SIZE,
    ],
)
def test_what_need_not_be_cut_is_one_piece(body: bytes) -> None:
    """A small body, and other content up to the size of the longest piece, is one piece."""
    assert cut(body) == [body]


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": ' + b"[" * 200_000,
        b'{"messages": [' + b'{"a":' * 200_000,
        b'{"messages": [' + b"9" * 200_000 + b"]}",
        b'{"messages": [' + b"{}," * 200_000 + b"{}]}",
        b'{"messages": [' + b'"\\ud800",' * 20_000 + b'"\\ud800"]}',
        b'{"messages": [' + b" " * 200_000 + b"]}",
        b'{"messages": [1,], "x": "' + b"x" * 20_000 + b'"}',
        b'{"messages": "' + b"\x80" * 20_000,
        b"\xef\xbb\xbf" + request(*turns(20)),
        request(*turns(20)).decode().encode("utf-16"),
    ],
)
def test_odd_bodies_are_safe(body: bytes) -> None:
    """Deep nesting, long numbers, many elements, half surrogates and wrong encodings give correct pieces quickly."""
    began = time.process_time()
    assert b"".join(cut(body)) == body
    assert time.process_time() - began < 5


def test_characters_stay_whole() -> None:
    """A long text is cut between characters, and binary data between bytes."""
    for text in ('"' + "语" * MAX_PIECE_SIZE, '"a' + "😀" * MAX_PIECE_SIZE, '"' + "é" * MAX_PIECE_SIZE):
        pieces = cut(text.encode())
        assert len(pieces) > 1
        assert "".join(piece.decode() for piece in pieces) == text
    assert len(cut(b"[" + b"\x80" * 3 * MAX_PIECE_SIZE)[0]) == MAX_PIECE_SIZE - 3


def test_an_upload_is_few_pieces() -> None:
    """A body that is not JSON is cut only where its pieces would be too large for a row."""
    upload = b"--boundary\r\n" + bytes(range(256)) * 12_000
    pieces = cut(upload)
    assert b"".join(pieces) == upload
    assert len(pieces) == 4
    assert all(MAX_OTHER_PIECE_SIZE - 3 <= len(piece) <= MAX_OTHER_PIECE_SIZE for piece in pieces[:-1])
    text = "语" * MAX_OTHER_PIECE_SIZE
    assert "".join(piece.decode() for piece in cut(text.encode())) == text
    assert len(cut(text.encode())) == 4
