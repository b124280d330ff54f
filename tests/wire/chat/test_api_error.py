"""Errors of the API: one function recognizes all their shapes, and never an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.sse import Decoder, Event
from tests.tables import for_each

type Json = dict[str, Any]
type Described = tuple[str | None, str | None, int | None]

CHOICE: Json = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}

ERRORS: dict[str, tuple[object, Described]] = {
    "the API's": (
        {"error": {"type": "rate_limit_reached_error", "message": "slow down"}},
        ("rate_limit_reached_error", "slow down", 429),
    ),
    "with a number": ({"error": {"code": 502, "message": "m"}}, ("502", "m", 502)),
    "with a code only": ({"error": {"code": "x", "message": None}}, ("x", None, None)),
    "the gateway's": (
        {"code": 5, "error": "url.not_found", "message": "没找到对象"},
        ("url.not_found", "没找到对象", None),
    ),
    "a text": ({"error": "no"}, (None, "no", None)),
    "a text and its type": ({"error": "too long", "error_type": "validation"}, ("validation", "too long", None)),
    "OAuth's": (
        {"error": "invalid_grant", "error_description": "expired"},
        ("invalid_grant", "expired", None),
    ),
    "only the word": ({"error": True, "message": "broken", "code": 503}, ("503", "broken", 503)),
    "of /messages": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
        ("overloaded_error", "m", 529),
    ),
    "of /responses": ({"type": "error", "code": "server_error", "message": "m"}, ("server_error", "m", 500)),
    "of /responses, at its end": (
        {"type": "response.failed", "response": {"id": "r", "output": [], "error": {"code": "a", "message": "b"}}},
        ("a", "b", None),
    ),
    "of /responses, as a whole answer": (
        {"object": "response", "status": "failed", "error": {"code": "a", "message": "b"}, "output": []},
        ("a", "b", None),
    ),
    "no more than its type": ({"type": "error"}, (None, None, None)),
    "vLLM's": (
        {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400},
        ("BadRequestError", "too long", 400),
    ),
    "vLLM's, without a type": ({"object": "error", "message": "no", "code": 400}, ("400", "no", 400)),
    "Gemini's": (
        [{"error": {"code": 400, "message": "bad key", "status": "INVALID_ARGUMENT"}}],
        ("INVALID_ARGUMENT", "bad key", 400),
    ),
    "a code and a msg": ({"code": 1001, "msg": "余额不足", "data": None}, ("1001", "余额不足", None)),
    "a code in words": (
        {"code": "InvalidApiKey", "message": "no such key", "request_id": "r"},
        ("InvalidApiKey", "no such key", None),
    ),
    "an error_code": ({"error_code": 17, "error_msg": "daily limit"}, ("17", "daily limit", None)),
    "MiniMax's": (
        {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}, "choices": None},
        ("1008", "insufficient balance", None),
    ),
    "MiniMax's, in the last chunk": (
        {"choices": [CHOICE], "base_resp": {"status_code": 1027, "status_msg": "output sensitive"}},
        ("1027", "output sensitive", None),
    ),
    "Cloudflare's": (
        {"success": False, "errors": [{"code": 7003, "message": "no route"}], "messages": [], "result": None},
        ("7003", "no route", None),
    ),
    "Cloudflare's gateway's": (
        {"success": False, "result": [], "messages": [], "error": [{"code": 2009, "message": "Unauthorized"}]},
        ("2009", "Unauthorized", None),
    ),
    "a detail": ({"detail": "Not Found"}, (None, "Not Found", None)),
    "a detail of several": (
        {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "missing"}, {"msg": "more"}]},
        (None, "body.messages: field required; more", None),
    ),
    "a detail that is an error": ({"detail": {"error": {"type": "t", "message": "m"}}}, ("t", "m", None)),
    "RFC 9457's": (
        {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "not you"},
        ("about:blank", "not you", 403),
    ),
    "beside a chunk": ({"choices": [CHOICE], "error": {"code": 502, "message": "gone"}}, ("502", "gone", 502)),
    "in a choice": (
        {"choices": [{**CHOICE, "error": {"code": 502, "message": "gone"}, "finish_reason": "error"}]},
        ("502", "gone", 502),
    ),
    "in the second choice, without a reason": (
        {"choices": [CHOICE, {**CHOICE, "error": {"message": "gone"}}]},
        (None, "gone", None),
    ),
    "a reason of error only": ({"choices": [{**CHOICE, "finish_reason": "error"}]}, ("error", None, None)),
}

ANSWERS: dict[str, object] = {
    "a chunk": {"object": "chat.completion.chunk", "choices": [CHOICE]},
    "null": {"choices": [CHOICE], "error": None},
    "empty": {"choices": [CHOICE], "error": {}},
    "an error that says nothing": {"choices": [CHOICE], "error": {"code": None, "message": "", "type": None}},
    "a job that went well": {"id": "ft", "error": {"code": None, "message": None, "param": None}},
    "a number": {"choices": [3], "error": 7},
    "code 0": {"code": 0, "msg": "ok", "data": {"x": 1}},
    "the balance": {"code": 0, "data": {"available_balance": 1.5}, "scode": "0x0", "status": True},
    "code 200": {"code": 200, "message": "done"},
    "code 201 as a text": {"code": "201", "message": "made"},
    "a code of zeros": {"code": "00000", "msg": "fine"},
    "a code that says success": {"code": "Success", "message": "fine"},
    "a message that says success": {"code": 1, "msg": "操作成功"},
    "success in so many words": {"code": 20000, "message": "Ok", "success": True},
    "a code beside data": {"code": 1, "msg": "see data", "data": [1]},
    "a code beside choices": {"code": 1, "msg": "x", "choices": [CHOICE]},
    "a code that is code": {"code": "print('x')", "message": "run it"},
    "base_resp 0": {"choices": [CHOICE], "base_resp": {"status_code": 0, "status_msg": "success"}},
    "base_resp 0 alone": {"base_resp": {"status_code": 0, "status_msg": ""}},
    "empty base_resp": {"base_resp": {}, "choices": [CHOICE]},
    "the model's text": {"choices": [{**CHOICE, "delta": {"content": '{"error": {"message": "no"}}'}}]},
    "/responses under way": {"type": "response.created", "response": {"error": None, "output": []}},
    "/messages": {"type": "message_start", "message": {"id": "msg_1", "content": []}},
    "a ping": {"type": "ping"},
    "a batch": {"id": "batch_1", "object": "batch", "errors": None, "status": "failed"},
    "a file with a detail": {"id": "f", "object": "file", "status": "error", "detail": "bad"},
    "errors beside an answer": {"data": {"x": 1}, "errors": [{"message": "y is not known"}]},
    "no errors": {"success": False, "errors": [], "result": None},
    "a list of results": [{"error": {"message": "no"}}, {"id": 1}],
    "nothing": {},
    "no object": "error",
}


@for_each("name", ERRORS)
def test_errors(name: str) -> None:
    """Each shape of error gives its kind, its message and its status."""
    value, expected = ERRORS[name]
    found = api_error.find(value)
    assert found is not None
    assert (found.kind, found.message, found.status) == expected


@for_each("name", ANSWERS)
def test_answers(name: str) -> None:
    """Successful answers that look like errors are not errors."""
    assert api_error.find(ANSWERS[name]) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"message": "Forbidden"}, (None, "Forbidden", None)),
        ({"code": 0, "msg": "ok", "data": {"x": 1}}, ("0", "ok", None)),
        ({"errors": ["no"]}, (None, "no", None)),
        ({"id": 3}, None),
        ([], None),
        (None, None),
    ],
)
def test_what_is_an_error_by_its_status(value: object, expected: Described | None) -> None:
    """If the status is that of an error, any description of it counts."""
    found = api_error.find(value, failed=True)
    assert (found and (found.kind, found.message, found.status)) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("event: error\ndata: upstream is gone", (None, "upstream is gone", None)),
        ('event: error\ndata: "gone"', (None, "gone", None)),
        ('event:error\ndata: {"message": "gone"}', (None, "gone", None)),
        ('event: error\ndata: {"x": 1}', (None, '{"x": 1}', None)),
        ('event: error\ndata: {"type": "error", "error": {"type": "t", "message": "m"}}', ("t", "m", None)),
        ("event: error\ndata:", (None, None, None)),
        ('data: {"error": "gone"}', (None, "gone", None)),
        ("data: error", None),
        ('event: message_stop\ndata: {"type": "message_stop"}', None),
    ],
)
def test_events(lines: str, expected: Described | None) -> None:
    """An event of the name "error" is an error, whatever its data."""
    raw = f"{lines}\n\n".encode()
    (event,) = Decoder().feed(raw)
    try:
        value = json.loads(event.data)
    except ValueError:
        value = None
    found = api_error.find_in_event(event, value)
    assert (found and (found.kind, found.message, found.status)) == expected


def test_the_member_keeps_all_that_the_server_said() -> None:
    """An error is forwarded unchanged, and one of another shape in the API's own."""
    own = {"code": 502, "message": "gone", "metadata": {"provider": "x"}}
    assert api_error.find({"error": own}) == ApiError("502", "gone", 502, own)
    other = api_error.find({"base_resp": {"status_code": 1008, "status_msg": "no money"}})
    assert other == ApiError("1008", "no money", None, {"type": "1008", "message": "no money"})
    assert other is not None
    assert api_error.find({"error": other.member}) == other


def test_only_errors_of_a_choice_leave_the_stream_open() -> None:
    """SDKs continue reading after an error inside a choice, and stop at all others."""
    assert [name for name, (value, _) in ERRORS.items() if not (api_error.find(value) or ANY).ends] == [
        "in a choice",
        "in the second choice, without a reason",
        "a reason of error only",
    ]


ANY = ApiError(None, None, None, None)


def test_one_line() -> None:
    """An error is shown in one line, as far as it is known."""
    shown = [str(ApiError(*expected, None)) for expected in [("a", "b", None), ("a", None, None), (None, "b", None)]]
    assert shown == ["a: b", "a", "b"]
    assert str(ANY) == "error"


KEYS = st.sampled_from(
    ["error", "type", "code", "msg", "message", "detail", "base_resp", "choices", "object", "response", "data", "loc"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | KEYS | st.just("response.failed"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)


@given(ANYTHING, st.booleans(), st.sampled_from(["message", "error"]))
def test_nothing_is_raised(value: object, failed: bool, name: str) -> None:
    """Any value is classified as an error or not, with its message."""
    for found in (api_error.find(value, failed=failed), api_error.find_in_event(Event(json.dumps(value), name), value)):
        assert found is None or (isinstance(str(found), str) and json.dumps(found.member))
