"""Positions of the members and elements of a JSON object."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire import json_elements
from moonpalace_addons.wire.json_elements import Member, read_members, read_value
from tests.tables import for_each

ARRAYS = ("messages", "tools")


def shown(body: bytes) -> list[tuple[str, bytes, list[bytes] | None]]:
    """Return keys, the bytes of values, and those of elements."""
    members = read_members(body, ARRAYS)
    assert members is not None
    return [
        (
            member.key,
            body[member.start : member.end],
            None if member.elements is None else [body[start:end] for start, end in member.elements],
        )
        for member in members
    ]


@for_each(
    ("body", "expected"),
    [
        (b"{}", []),
        (b" \r\n{ } \t", []),
        (b'{"a":1}', [("a", b"1", None)]),
        (b'{"messages":[]}', [("messages", b"[]", [])]),
        (b'{"messages":[ \n]}', [("messages", b"[ \n]", [])]),
        (b'{"messages" : [1 ,\t2]}', [("messages", b"[1 ,\t2]", [b"1", b"2"])]),
        (
            b'{"model":"k", "messages":[{"a":"]}"}, {"b":[1,2]} ],"tools":null,"x":[1]}',
            [
                ("model", b'"k"', None),
                ("messages", b'[{"a":"]}"}, {"b":[1,2]} ]', [b'{"a":"]}"}', b'{"b":[1,2]}']),
                ("tools", b"null", None),
                ("x", b"[1]", None),
            ],
        ),
        (
            '{"键":"值","tools":["月亮", "\U0001f319"],"messages":["é"]}'.encode(),
            [
                ("键".encode().decode("latin-1"), '"值"'.encode(), None),
                ("tools", '["月亮", "\U0001f319"]'.encode(), ['"月亮"'.encode(), '"\U0001f319"'.encode()]),
                ("messages", '["é"]'.encode(), ['"é"'.encode()]),
            ],
        ),
        (rb'{"\u006dessages":["\"\\"]}', [("messages", rb'["\"\\"]', [rb'"\"\\"'])]),
        (b'{"messages":[1],"messages":[2]}', [("messages", b"[1]", [b"1"]), ("messages", b"[2]", [b"2"])]),
        (b'{"messages":[' + b"9" * 5000 + b"]}", [("messages", b"[" + b"9" * 5000 + b"]", [b"9" * 5000])]),
        (b'{"messages":{"messages":[1]}}', [("messages", b'{"messages":[1]}', None)]),
    ],
)
def test_places(body: bytes, expected: object) -> None:
    """Every value and every element of the requested arrays is located exactly."""
    assert shown(body) == expected


@for_each(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b'{"a":1 "b":2}',
        b"{a:1}",
        b'{"a":1}{}',
        b'{"a":1} x',
        b'{"messages":[1,]}',
        b'{"messages":[,1]}',
        b'{"messages":[1 2]}',
        b'{"messages":[1}',
        b'{"messages":[',
        b'{"messages":["a]}',
        b'{"messages":["\n"]}',
        b"\xef\xbb\xbf{}",
        b'{"messages":[' + b"[" * 100_000 + b"]}",
    ],
)
def test_what_is_no_object(body: bytes) -> None:
    """Anything but a readable JSON object gives nothing."""
    assert read_members(body, ARRAYS) is None


def test_arrays_are_opened_only_if_asked_for() -> None:
    """Without names no array is opened."""
    assert read_members(b'{"messages":[1]}') == [Member("messages", 12, 15)]


def test_every_beginning_is_refused() -> None:
    """A truncated body is not an object, and never raises an exception."""
    body = json.dumps({"messages": [{"a": "é"}, 1.5, None], "tools": [], "b": True}).encode()
    assert [cut for cut in range(len(body)) if read_members(body[:cut], ARRAYS) is not None] == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["messages", "tools", "model"]), VALUES), st.booleans(), st.booleans())
def test_agrees_with_the_json_module(value: dict[str, object], is_ascii: bool, is_indented: bool) -> None:
    """The located bytes parse to the same values, however the body is written."""
    body = json.dumps(value, ensure_ascii=is_ascii, indent=2 if is_indented else None)
    encoded = body.encode("utf-8", "surrogatepass")
    members = read_members(encoded, ARRAYS)
    assert members is not None
    for member, (key, expected) in zip(members, value.items(), strict=True):
        assert member.key == key
        assert json.loads(encoded[member.start : member.end]) == expected
        if isinstance(expected, list) and key in ARRAYS:
            assert member.elements is not None
            assert [json.loads(encoded[start:end]) for start, end in member.elements] == expected
        else:
            assert member.elements is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b" [1] ", [1]), (b"nul", None), (b"9" * 5000, None), (b"[" * 100_000, None), (b'"\xff"', None)],
)
def test_values(body: bytes, expected: object) -> None:
    """A value is read if possible, and never raises an exception."""
    assert read_value(body, (0, len(body))) == expected


def test_a_body_without_end_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long list is scanned quickly at any length; everything else is limited, because its values are built."""
    monkeypatch.setattr(json_elements, "MAX_SCANNED_SIZE", 90_000)
    filled = b"[" + b"[]," * 30_000 + b"[]]"
    result = read_members(b'{"model":"m","messages":' + filled + b"}", ARRAYS)
    assert result is not None
    assert [member.key for member in result] == ["model", "messages"]
    assert read_members(b'{"model":"m","other":' + filled + b"}", ARRAYS) is None
    assert read_value(filled, (0, len(filled))) is None
    assert read_value(filled, (1, 3)) == []
