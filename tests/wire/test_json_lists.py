"""The longest list in a JSON object; reading around it gives the same as reading everything."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moonpalace_addons.wire import json_elements
from moonpalace_addons.wire.json_elements import find_longest
from tests.tables import for_each

KEYS = ("messages", "tools")


def shown(body: bytes) -> list[bytes] | None:
    """Return the elements of the longest list."""
    result = find_longest(body, KEYS)
    if result is None:
        return None
    assert (result.start, result.end) == (result.elements[0][0], result.elements[-1][1])
    return [body[start:end] for start, end in result.elements]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"messages":[1,22],"tools":[3]}', [b"1", b"22"]),
        (b'{"messages":[1], "tools" :\r\n[ {"a": [] },\t{}\n]}', [b'{"a": [] }', b"{}"]),
        (b'{"messages":"text","tools":[3]}', [b"3"]),
        (b'{"x":"\\"messages\\":[1]","messages":[1]}', [b"1"]),
        (b'{"x":{"messages":[2]},"messages":[1]}', [b"1"]),
        (b'{"x":["messages"],"messages":[1 , 2 , 3]}', [b"1", b"2", b"3"]),
        (b'{"messages":[1,2],"messages":[3]}', [b"3"]),
        (b'{"\xff":1,"messages":["\xff"]}', [b'"\xff"']),
        ('{"é":1,"messages":["é","\U0001f319"]}'.encode(), ['"é"'.encode(), '"\U0001f319"'.encode()]),
        (b'{"messages":[' + b"9" * 5000 + b"]}", [b"9" * 5000]),
    ],
)
def test_the_longest_list(body: bytes, expected: list[bytes]) -> None:
    """The elements of the longest list are located exactly."""
    assert shown(body) == expected


@for_each(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"messages":[]}',
        b'{"messages":{}}',
        b'{"messages":[1]',
        b'{"messages":[1,]}',
        b'{"messages":[NaN]}',
        b'{"messages":[1, 2,3]}',
        rb'{"\u006dessages":[1]}',
        rb'{"messages":["\ud800"]}',
        b'{"messages":[' + b"[" * 100_000 + b"]}",
    ],
)
def test_what_is_not_found(body: bytes) -> None:
    """Odd or invalid spelling is left to the slow path."""
    assert shown(body) is None


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_elements, "FAST_PATH_SIZE", 0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["messages", "tools", '"messages":', "\u00e9"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=12,
)
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t\r\n  "])
KEY = st.sampled_from(["messages", "tools", "model", 'x"messages', "é", "messages\\"])


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """Draw an object with odd whitespace, escapes, and repeated keys."""

    def written(value: object) -> str:
        if isinstance(value, list):
            comma = draw(SPACE) + "," + draw(SPACE)
            return "[" + draw(SPACE) + comma.join(written(element) for element in value) + draw(SPACE) + "]"
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    members = draw(st.lists(st.tuples(KEY, VALUES | st.lists(VALUES, max_size=6)), max_size=6))
    joined = (draw(SPACE) + ",").join(
        f"{draw(SPACE)}{written(key)}{draw(SPACE)}:{draw(SPACE)}{written(value)}" for key, value in members
    )
    return (draw(SPACE) + "{" + joined + "}" + draw(SPACE)).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw an object with changed, missing or additional bytes."""
    body = draw(objects())
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 3)))
    return (
        body[:start] + draw(st.binary(max_size=3) | st.sampled_from([b"]", b"[", b",", b'"', b"\\", b"{"])) + body[end:]
    )


@pytest.mark.usefixtures("_short")
@given(objects() | damaged() | st.binary(max_size=30))
@example(b'\xef\xbb\xbf{"messages":[1]}')
@example(b'{"messages":[1]}x')
@example(b'{"messages":[1]}{"messages":[1]}')
@example(b'{"tools":[{"messages":[1,2]}],"messages":[1,2]}')
@example(b'{"messages":[1,2],"messages":[1,2],"tools":[{}]}')
@example(b'{"x":[{"messages":[1,2]},"messages":[1,2]]}')
@example(b'{"messages":["\xff\xed\xa0\x80"]}')
@example(b'{"messages":[1,2}')
@example(b'{"messages":[' + b"9" * 5000 + b'],"stream":' + b"9" * 5000 + b"}")
@example(b'{"messages":[NaN,Infinity],"tools":[1]}')
def test_both_ways_of_reading_agree(body: bytes) -> None:
    """For any body, reading around a list gives what reading every value gives."""
    assert json_elements.read_members(body, KEYS) == json_elements._read(body, KEYS)


def bodies() -> Iterator[bytes]:
    """Iterate over bodies with many messages, in the ways that JSON is written."""
    value = {
        "model": "k",
        "messages": [{"role": "user", "content": "é" * 50}] * 100,
        "tools": [{"a": 1}] * 3,
        "x": None,
    }
    for is_ascii in (True, False):
        yield json.dumps(value, ensure_ascii=is_ascii).encode()
        yield json.dumps(value, ensure_ascii=is_ascii, separators=(",", ":")).encode()
        yield json.dumps(value, ensure_ascii=is_ascii, indent=2).encode()


@pytest.mark.parametrize("body", bodies())
def test_common_bodies_are_read_quickly(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However common libraries write JSON, the list is found, and the slow path only reads the rest."""
    expected = json_elements._read(body, KEYS)
    read = json_elements._read
    seen: list[bytes] = []

    def noted(body: bytes, arrays: tuple[str, ...]) -> list[json_elements.Member] | None:
        seen.append(body)
        return read(body, arrays)

    monkeypatch.setattr(json_elements, "_read", noted)
    assert json_elements.read_members(body, KEYS) == expected
    assert [len(rest) < 300 for rest in seen] == [True]
