"""Tests of editing requests in place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat.request_edit import ask_for_stream, ask_for_usage
from tests.tables import for_each

USAGE = '"stream_options":{"include_usage":true}'


@for_each(
    ("body", "expected"),
    [
        ('{"model":"m"}', '{"model":"m",' + USAGE + ',"stream":true}'),
        ("{}", "{" + USAGE + ',"stream":true}'),
        ("{ }", "{" + USAGE + ',"stream":true }'),
        ('{"stream":false}', '{"stream":true,' + USAGE + "}"),
        ('{"stream":null}', '{"stream":true,' + USAGE + "}"),
        ('{"stream": null,"a":1}', '{"stream": true,"a":1,' + USAGE + "}"),
        ('{"stream": false , "a": 1.50}', '{"stream": true , "a": 1.50,' + USAGE + "}"),
        ('{"stream":false,"stream":false}', '{"stream":true,"stream":true,' + USAGE + "}"),
        ('{"str\\u0065am":false}', '{"str\\u0065am":true,' + USAGE + "}"),
        (
            '{"a":{"stream":false},"b":"\\"stream\\":false"}',
            '{"a":{"stream":false},"b":"\\"stream\\":false",' + USAGE + ',"stream":true}',
        ),
        ('{"stream_options":null}', '{"stream_options":{"include_usage":true},"stream":true}'),
        ('{"stream_options":{}}', '{"stream_options":{"include_usage":true},"stream":true}'),
        (
            '{"stream_options":{"x":[1,{"y":"}"}]},"z":1}',
            '{"stream_options":{"x":[1,{"y":"}"}],"include_usage":true},"z":1,"stream":true}',
        ),
        ('{"stream_options":{"include_usage":false}}', '{"stream_options":{"include_usage":true},"stream":true}'),
        ('{"stream_options":{"include_usage":true}}', '{"stream_options":{"include_usage":true},"stream":true}'),
        ('\n{\n  "n" : 1E5\n}\n', '\n{\n  "n" : 1E5,' + USAGE + ',"stream":true\n}\n'),
        ('{"中":"文"}', '{"中":"文",' + USAGE + ',"stream":true}'),
    ],
)
def test_asking_for_a_stream(body: str, expected: str) -> None:
    """Both fields are set, and every other byte is unchanged."""
    assert ask_for_stream(body.encode()) == expected.encode()


@for_each(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b'{"stream":',
        b"\xff",
        '{"a":1}'.encode("utf-16"),
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1}x',
        b'{"a":1,}',
        b'{,"a":1}',
        b'{"a" 1}',
        b'{"a":1 "b":2}',
        b"{1:2}",
        b'{"a":1',
        b'{"stream":true}',
        b'{"stream":0}',
        b'{"stream":"false"}',
        b'{"stream_options":"yes"}',
        b'{"stream":' + b"9" * 5000 + b"}",
        b'{"stream_options":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_is_left_alone(body: bytes) -> None:
    """A body that is not a JSON object, sets `stream` itself or has odd options is not changed."""
    assert ask_for_stream(body) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"stream":true}', '{"stream":true,' + USAGE + "}"),
        ('{"stream":true,"stream_options":{"include_usage":true}}', None),
        ('{"stream":false}', None),
        ("{}", None),
    ],
)
def test_asking_for_usage(body: str, expected: str | None) -> None:
    """Only a streaming request that did not ask for usage is changed."""
    assert ask_for_usage(body.encode()) == (expected.encode() if expected else None)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("stream"), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=6), st.sampled_from([None, 1, 4]), st.booleans())
def test_any_object_gains_the_two_fields(fields: dict[str, object], indent: int | None, ascii_only: bool) -> None:
    """Whatever a body contains, parsed again it only differs by the two fields."""
    fields = {name: value for name, value in fields.items() if name not in ("stream", "stream_options")}
    body = json.dumps(fields, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    changed = ask_for_stream(body)
    if changed is None:  # half a surrogate pair cannot be UTF-8
        assert not ascii_only
        return
    assert json.loads(changed) == fields | {"stream": True, "stream_options": {"include_usage": True}}
    addition = f'{"," if fields else ""}{USAGE},"stream":true'.encode()
    assert changed.count(addition) == 1
    assert changed.replace(addition, b"") == body
