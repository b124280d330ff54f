"""The faster JSON reader agrees with the json module."""

import json
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moonpalace_addons.wire.json_value import MAX_PARSED_SIZE, parse, parse_bounded

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


def by_json(data: bytes | str) -> object:
    """Return the value by the json module; None if it is rejected."""
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


@given(
    st.builds(lambda value, is_ascii: json.dumps(value, ensure_ascii=is_ascii), VALUES, st.booleans())
    | NUMBERS
    | st.text(st.sampled_from('{}[],:"\\u0d8eE+-.1anul \n'), max_size=20)
)
@example('{"a":1,"b":2,"a":3}')
@example("1e400")
@example("-0")
@example("-0.0")
@example("18446744073709551616")
@example("9" * 5000)
@example("[" * 100_000)
@example('"\ud800"')
@example(r'"\ud800"')
@example(r'"\ud83c\udf19\u0000"')
@example("\ufeff{}")
@example("NaN")
@example("")
def test_both_ways_agree(text: str) -> None:
    """The value, its type and the order of keys agree with the json module, for text and for bytes."""
    assert repr(parse(text)) == repr(by_json(text))
    data = text.encode("utf-8", "surrogatepass")
    assert repr(parse(data)) == repr(by_json(data))


@pytest.mark.parametrize("data", [b"\xff", b'"\xff"', '{"a":1}'.encode("utf-16"), b'\xef\xbb\xbf{"a":1}', b"{}\x00"])
def test_bytes(data: bytes) -> None:
    """Bytes in other encodings are read, or rejected, like by the json module."""
    assert parse(data) == by_json(data)


def test_a_large_answer_is_read_in_outline() -> None:
    """Large members are not built as values, which would take many times the memory; short ones are."""
    usage = {"prompt_tokens": 1, "total_tokens": 2}
    large: list[object] = [[]] * (MAX_PARSED_SIZE // 3)
    body = json.dumps({"id": "a", "data": large, "usage": usage, "choices": large, "model": None}).encode()
    tracemalloc.start()
    try:
        assert parse_bounded(body) == {"id": "a", "usage": usage, "model": None}
        assert tracemalloc.get_traced_memory()[1] < MAX_PARSED_SIZE
    finally:
        tracemalloc.stop()
    assert parse_bounded(body[:-1]) is None
    assert parse_bounded(b"[" + body + b"]") is None
    assert parse_bounded(b'{"id":' + b"[" * MAX_PARSED_SIZE) is None


def test_what_is_not_large_is_read_as_ever() -> None:
    """Below the limit the whole value is built."""
    assert parse_bounded(b'{"a":[1,{"b":2}]}') == {"a": [1, {"b": 2}]}
    assert parse_bounded(b"[") is None
