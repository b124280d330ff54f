"""Tests of cutting bodies with a known beginning."""

import json
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonpalace_addons.store.write.body_parts import cut
from moonpalace_addons.store.write.resent import CACHE_SIZE, MIN_CACHED_SIZE, PieceCache, piece

SIZES = st.integers(0, 5000)
CONTENTS = st.sampled_from(["a", "语", '"', "é\\"])
MESSAGES: st.SearchStrategy[list[object]] = st.lists(
    st.tuples(CONTENTS, SIZES).map(lambda text: {"role": "user", "content": text[0] * text[1]})
    | st.sampled_from(["text", 12, 1.5, None, True, [], {}]),
    min_size=8,
    max_size=40,
)


def body(messages: object, *, spaced: bool = False, **members: object) -> bytes:
    """Return a request."""
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps({"model": "k", **members, "messages": messages, "n": 1}, separators=separators).encode()


def pieces(resent: PieceCache, data: bytes) -> list[bytes]:
    """Return the pieces of a body, checked against their hashes and its outline."""
    body, outline = resent.cut(data)
    assert all(each == piece(each.data) for each in body.pieces)
    assert outline == data or is_outline(json.loads(outline), json.loads(data))
    return [bytes(each.data) for each in body.pieces]


def is_outline(short: dict[str, list[object]], whole: dict[str, list[object]]) -> bool:
    """Return whether one request equals another without the first elements of a list."""
    (name,) = (name for name in whole if short[name] != whole[name])
    rest = short[name][1:]
    is_end = rest == whole[name][len(whole[name]) - len(rest) :]
    return short.keys() == whole.keys() and short[name][0] == 0 and is_end


@settings(max_examples=60)
@given(MESSAGES, MESSAGES, st.integers(0, 40), st.booleans())
def test_the_same_pieces_as_without_a_memory(
    messages: list[object], more: list[object], kept: int, spaced: bool
) -> None:
    """Whatever was sent before, and wherever the next body differs, it is cut as if it were the first."""
    resent = PieceCache()
    filler: list[object] = [{"role": "system", "content": "s" * MIN_CACHED_SIZE}]
    turns = [filler + messages, filler + messages + more, filler + messages[:kept] + more, filler + messages]
    for turn in turns:
        for tools in ([], [{"name": "t" * 900}] * 3):
            data = body(turn, spaced=spaced, tools=tools)
            assert pieces(resent, data) == cut(data)


@settings(max_examples=100)
@given(st.integers(0, 60_000), st.binary(max_size=3))
def test_a_body_that_is_changed_or_broken_anywhere(place: int, change: bytes) -> None:
    """Joined, the pieces are the body, whether it is JSON or not."""
    resent = PieceCache()
    first = body([{"role": "user", "content": f"{number} " + "word " * 400} for number in range(30)])
    pieces(resent, first)
    second = first[:place] + change + first[place + 1 :]
    assert b"".join(pieces(resent, second)) == second


def test_only_what_is_new_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a body that continues another one, only the rest is parsed, and the earlier pieces are the same."""
    resent = PieceCache()
    messages = [{"role": "user", "content": f"{number} " + "word " * 400} for number in range(30)]
    before = resent.pieces(body(messages))
    monkeypatch.setattr("moonpalace_addons.store.write.body_parts.cutting", None)
    messages += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "why " * 300}]
    after = resent.pieces(body(messages))
    assert all(one is other for one, other in zip(before[:-2], after, strict=False))
    assert b"".join(each.data for each in after) == body(messages)


@pytest.mark.parametrize("begin", [b'{"a":"', b"BINARY"], ids=["JSON", "other"])
def test_a_large_body_is_not_copied(begin: bytes) -> None:
    """A body that is too large to be remembered is not copied."""
    large = begin + os.urandom(CACHE_SIZE).replace(b'"', b"x")
    tracemalloc.start()
    try:
        found = PieceCache().pieces(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert b"".join(each.data for each in found) == large
    assert peak < CACHE_SIZE / 4


def test_a_number_that_goes_on() -> None:
    """A list may grow within its last element where that is a number: 1 becomes 12."""
    resent = PieceCache()
    messages: list[object] = [{"content": "x" * 3000}] * 10
    pieces(resent, body([*messages, 1]))
    assert pieces(resent, body([*messages, 12, 3])) == cut(body([*messages, 12, 3]))


def test_memory_is_bounded() -> None:
    """The memory is limited, and of a conversation only the last body is remembered."""
    resent = PieceCache(room=200_000)
    sizes = set()
    for number in range(20):
        resent.pieces(body([{"content": f"{number}"}, *[{"content": "x" * 3000}] * (10 + number)]))
        sizes.add(len(resent._known))
        assert sum(known.size for known in resent._known) + resent._free == 200_000
    assert max(sizes) <= 6
    grown = PieceCache()
    for number in range(5):
        grown.pieces(body([{"content": f"{at} " + "x" * 3000} for at in range(10 + number)]))
    assert len(grown._known) == 1


def test_bodies_that_cannot_be_cached_leave_the_others() -> None:
    """One that is too large, or that cannot be continued, evicts none, including the shorter body that it continues."""
    resent = PieceCache(200_000)
    conversation: list[object] = [{"role": "user", "content": "a" * 20_000}] * 3
    pieces(resent, body(conversation))
    (kept,) = resent._known
    pieces(resent, body([{"role": "user", "content": "b" * 300_000}]))
    pieces(resent, b"no JSON " * 20_000)
    pieces(resent, body([*conversation, {"role": "user", "content": "c" * 200_000}]))
    assert [*resent._known] == [kept]
    assert kept.shared(body(conversation)) > 0
