"""Tests of deriving the columns of a call."""

import json

import pytest
from msgspec import structs

from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.answers import Received
from moonpalace_addons.store.write.derive import EMPTY, header_columns, request_columns, request_fields
from moonpalace_addons.store.write.gate import hidden_in
from moonpalace_addons.store.write.storable import storable
from tests.hostile import HOSTILE_LINES, assert_quoted
from tests.store.write.answered import DELTA, END, received, stream
from tests.tables import for_each
from tests.tasks import request_read
from tests.units import outcome

KEY = b"sk-0123456789"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (
            b'{"model": "m", "stream": true, "max_tokens": 5, "messages": [], "tools": {}, "stop": null, "top_p": 0.5}',
            {"model": "m", "stream": True, "max_tokens": 5, "stop": None, "top_p": 0.5},
        ),
        (b'{"tool_choice": {"type": "function"}, "stop": []}', {"tool_choice": {"type": "function"}, "stop": []}),
        (b"[1]", {}),
        (b"", {}),
        (b'{"model": ', {}),
        (b"\xff\xfe", {}),
        (b"[" * 100_000, {}),
    ],
)
def test_fields(body: bytes, fields: dict[str, object]) -> None:
    """Texts, numbers and bools of a JSON object are fields, and some other members."""
    assert request_fields(body) == fields


def test_a_request_fills_its_columns() -> None:
    """They are columns of the table; the key is stored only as a fingerprint; secrets are masked."""
    request = request_read(
        query="a=1&token=hunter22",
        headers="X-Echo: sk-0123456789\r\n",
        api_key=KEY,
        secrets=(KEY,),
        changes=("authorization: set to the configured key",),
    )
    row = request_columns(request, {"model": "kimi-k3", "stream": True}, run_id="r", fingerprint_key=b"k" * 32)
    row = storable(row | hidden_in(request)[1], (KEY,))
    assert row.keys() <= EMPTY.keys() | {"run_id", "stream_requested"}
    assert (row["state"], row["run_id"], row["model_requested"], row["is_stream"]) == (
        "in_flight",
        "r",
        "kimi-k3",
        True,
    )
    assert row["query"] == "a=1&token=***"
    assert row["request_headers"] == "X-Echo: *************\r\n"
    assert row["changes"] == '["authorization: set to the configured key"]'
    assert row["request_bytes"] == len(request.body)
    assert len(str(row["key_fingerprint"])) == 16
    assert KEY.decode() not in str(row)


@pytest.mark.parametrize("fields", [{}, {"model": 5, "stream": "true"}, {"model": None, "stream": 1}])
def test_fields_of_wrong_types_count_as_missing(fields: dict[str, object]) -> None:
    """A model that is not text is ignored; only `true` requests a stream."""
    row = request_columns(request_read(), fields, run_id="r", fingerprint_key=b"k")
    assert (row["model_requested"], row["is_stream"], row["key_fingerprint"]) == (None, False, None)


@pytest.mark.parametrize(
    ("value", "duration"),
    [
        ("inner; dur=101", 101),
        ("inner;dur=0", 0),
        ("1500", 1500),
        ("dur=1.5", 1),
        ("inner", None),
        ("", None),
        ("dur=٣", None),
        ("dur=" + "9" * 5000, 10**18 - 1),
        ("9" * 5000, None),
    ],
)
def test_server_timing_is_read(value: str, duration: int | None) -> None:
    """The duration is whole milliseconds, bare or as `dur=`; an invalid one is ignored."""
    columns = header_columns(received(b"", headers=f"server-timing: {value}\r\n"))
    assert columns["server_timing"] == duration


@pytest.mark.parametrize(
    ("value", "tokens"), [("512", 512), (" 0 ", 0), ("", None), ("many", None), ("-1", None), ("9" * 30, None)]
)
def test_saved_tokens_are_read(value: str, tokens: int | None) -> None:
    """The tokens saved by a context cache are a number or unknown; the outcome comes from the hook."""
    answer = received(b"{}", headers=f"Msh-Context-Cache-Token-Saved: {value}\r\nMsh-Context-Cache-Id: cache-1\r\n")
    ended = ExchangeEnded("u", 1, State.COMPLETED, cache_outcome="hit")
    columns = outcome(ended, answer, {}).columns
    assert (columns["cache_tokens"], columns["context_cache_id"], columns["cache_outcome"]) == (
        tokens,
        "cache-1",
        "hit",
    )


def test_headers_are_read_whatever_their_case() -> None:
    """Names are case-insensitive, and the last of several counts; other headers stay text."""
    headers = "MSH-REQUEST-ID: a\r\nmsh-request-id: b\r\nMsh-Uid: u\r\n"
    headers += "Msh-Context-Cache-Id: cache-1\r\nX: a: b\r\nEmpty: \r\n"
    columns = header_columns(received(b"", headers=headers))
    assert [columns[name] for name in ("msh_request_id", "msh_uid", "context_cache_id")] == ["b", "u", "cache-1"]
    assert header_pairs(headers)[-2:] == [("X", "a: b"), ("Empty", "")]


def test_several_lines_of_timings_are_one_list() -> None:
    """What a network in front of the API adds does not hide what the API says."""
    for lines in (("inner; dur=77", "cfEdge;dur=9"), ('cfL4;desc="x"', "cfEdge;dur=9", "inner;dur=77.5")):
        headers = "".join(f"Server-Timing: {line}\r\n" for line in lines)
        assert header_columns(received(b"", headers=headers))["server_timing"] == 77


@pytest.mark.parametrize(("coding", "size"), [("", True), ("identity", True), ("gzip", False)])
def test_an_answer_that_was_not_kept_to_its_end(coding: str, size: bool) -> None:
    """Its size includes what was not kept, unless only the encoded size of that is known; no end is made up."""
    given = stream(DELTA % ("a", "null"), DELTA % ("b", "null"))
    given = structs.replace(given, headers=f"Content-Encoding: {coding}\r\n" if coding else "")
    columns = outcome(ExchangeEnded("u", 9_000_000_000, State.COMPLETED, dropped=1_000), given, {}).columns
    assert columns["response_bytes"] == (len(given.body) + 1_000 if size else None)
    assert columns["time_to_first_token"] == 2_000_000
    assert [columns[name] for name in ("longest_stall", "gap_p50", "output_tokens_per_second")] == [None] * 3
    assert "1000 bytes are not" in str(columns["warnings"])
    assert "nothing came" not in str(columns["warnings"])


def test_the_session_of_a_request() -> None:
    """The session of a request is the one named in its headers or its body."""
    body = b'{"model": "kimi-k3", "metadata": {"session_id": "s-1"}, "messages": []}'
    for headers, expected in (("", "s-1"), ("Session_Id: s-2\r\n", "s-2")):
        request = structs.replace(request_read(), body=body, headers=headers)
        row = request_columns(request, request_fields(body), run_id="r", fingerprint_key=b"k")
        assert row["session"] == expected


def test_a_completion_fills_its_columns() -> None:
    """Identifiers, model, finish reason and tokens of a JSON answer are taken from its body."""
    body = (
        b'{"id": "c", "model": "m", "choices": [{"finish_reason": "stop", "message": {}}],'
        b' "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cached_tokens": 5}}'
    )
    result = outcome(END, received(body), {})
    names = ("chatcmpl_id", "model_answered", "finish_reason", "prompt_tokens", "cached_tokens", "total_tokens")
    assert [result.columns[name] for name in names] == ["c", "m", "stop", 11, 5, 18]
    assert (result.response_body, result.stream, result.columns["warnings"]) == (body, None, None)
    assert (result.columns["latency"], result.columns["overhead"], result.columns["response_bytes"]) == (
        9e6,
        7,
        len(body),
    )


@pytest.mark.parametrize(
    ("answer", "ident"),
    [
        (received(b'{"id": "msg_1", "type": "message", "content": []}'), "msg_1"),
        (received(b'{"id": "resp_1", "object": "response", "output": []}'), "resp_1"),
        (
            stream('{"type": "message_start", "message": {"id": "msg_1", "type": "message"}}', '{"type": "ping"}'),
            "msg_1",
        ),
        (stream('{"type": "response.created", "response": {"id": "resp_1", "object": "response"}}'), "resp_1"),
        (stream('{"id": "cmpl-1", "object": "text_completion", "choices": [{"text": "a"}]}'), "cmpl-1"),
        (received(b'{"id": "file-1", "object": "file"}'), None),
        (stream('{"type": "ping"}'), None),
    ],
)
def test_answers_of_all_faces_have_their_id(answer: Received, ident: str | None) -> None:
    """Ids of messages and responses are stored as those of completions are, in streams too."""
    assert outcome(END, answer, {}).columns["chatcmpl_id"] == ident


def test_a_stream_is_kept_raw_and_merged() -> None:
    """For a stream its bytes and the merged completion are stored, with its times."""
    given = stream(DELTA % ("a", "null"), DELTA % ("b", '"stop"'), "[DONE]")
    result = outcome(END, given, {"stream": False})
    assert result.stream == given.body
    assert json.loads(result.response_body or b"")["choices"][0]["message"]["content"] == "ab"
    assert (result.columns["time_to_first_token"], result.columns["is_stream"]) == (2_000_000, True)


@for_each(
    ("answer", "kind", "message"),
    [
        (received(b'{"error": {"type": "invalid_request_error", "message": "no"}}'), "invalid_request_error", "no"),
        (stream(DELTA % ("a", "null"), '{"error": {"type": "server_error", "message": "x"}}'), "server_error", "x"),
        (received(b'{"error": "no"}'), "error", "no"),
        (stream('{"error": {"code": 503, "message": "x"}}'), "503", "x"),
        (
            stream('{"type": "message_start"}', '{"type": "error", "error": {"type": "busy", "message": "x"}}'),
            "busy",
            "x",
        ),
        (received(b"<html>504</html>", "text/html"), None, None),
        (received(b'{"object": "error", "message": "x", "code": 400}'), "400", "x"),
        (received(b'[{"error": {"code": 400, "message": "x", "status": "INVALID"}}]'), "INVALID", "x"),
        (received(b'{"code": 1001, "msg": "x"}'), "1001", "x"),
        (received(b'{"base_resp": {"status_code": 1008, "status_msg": "x"}}'), "1008", "x"),
        (received(b'{"detail": "x"}', status_code=404), "error", "x"),
        (received(b'{"message": "x"}', status_code=403), "error", "x"),
        (stream(DELTA % ("a", "null"), '[{"error": {"message": "x"}}]'), "error", "x"),
        (stream(DELTA % ("a", "null"), '{"base_resp": {"status_code": 1008, "status_msg": "x"}}'), "1008", "x"),
        (stream(DELTA % ("a", '"error"')), "error", None),
        (received(b"event: error\ndata: x\n\n", "text/event-stream"), "error", "x"),
        (received(b'{"code": 0, "msg": "ok", "data": {}}'), None, None),
        (stream(DELTA % ('{\\"error\\": \\"x\\"}', '"stop"')), None, None),
    ],
)
def test_an_error_of_the_api_is_noted(answer: Received, kind: str | None, message: str | None) -> None:
    """The type and message of an API error are in the row, also in a stream; a missing type is replaced."""
    columns = outcome(END, answer, {}).columns
    assert (columns["error_kind"], columns["error_message"]) == (kind, message)


def test_an_error_of_the_api_is_quoted_with_care() -> None:
    """For an error of megabytes, a row has the beginning of its type and its message, printable and without keys."""
    error = {"error": {"type": HOSTILE_LINES, "message": HOSTILE_LINES}}
    columns = outcome(END, received(json.dumps(error).encode(), status_code=500), {}).columns
    assert_quoted(columns["error_kind"])
    assert_quoted(columns["error_message"], derive.MAX_MESSAGE + 1)


def test_why_a_call_failed_stays_where_the_answer_names_no_error() -> None:
    """The kind and message of a call's end are kept with a partial answer."""
    ended = ExchangeEnded("u", 5, State.UPSTREAM_FAILED, error_kind="closed", error_message="upstream closed")
    columns = outcome(ended, stream(DELTA % ("a", "null")), {}).columns
    assert (columns["state"], columns["error_kind"]) == (State.UPSTREAM_FAILED, "closed")
    assert columns["error_message"] == "upstream closed"


def test_all_endings_fill_the_same_columns() -> None:
    """An answer, a missing one and an unreadable one fill the same columns, so that one statement can update them."""
    columns = [outcome(END, given, {}).columns.keys() for given in (None, received(b"{}"), stream("x"))]
    assert columns[0] == columns[1] == columns[2]


@pytest.mark.parametrize("answer", [None, received(b"{}"), stream("x")])
def test_warnings_of_a_call_are_kept_in_their_order(answer: Received | None) -> None:
    """Warnings from the request, the hooks and the answer are stored together, whatever the answer was."""
    ended = ExchangeEnded("u", 5, State.UPSTREAM_FAILED, warnings=("second",))
    columns = outcome(ended, answer, {}, warnings=["first"]).columns
    assert json.loads(str(columns["warnings"])) == ["first", "second"]


def test_the_warnings_of_a_call_have_a_bound() -> None:
    """However many odd tool calls an answer has, row and log only have the first warnings and the number of others."""
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}] * 1_000
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    columns = outcome(END, received(json.dumps(answer).encode()), {}, path="/v1/chat/completions").columns
    *first, last = json.loads(str(columns["warnings"]))
    assert len(first) == derive.MAX_WARNINGS
    assert all("has no id" in warning for warning in first)
    assert last == f"more warnings like these: {1_000 - derive.MAX_WARNINGS}"


def test_a_truncated_answer_is_warned_of() -> None:
    """An answer whose reason is its length, and one without a reason, get the documented warning."""
    for reason in ('"length"', "null"):
        warnings = json.loads(str(outcome(END, stream(DELTA % ("a", reason)), {}).columns["warnings"]))
        assert warnings[0].startswith("it seems that your max_tokens value is too small")
    failed = ExchangeEnded("u", 5, State.UPSTREAM_FAILED)
    assert outcome(failed, stream(DELTA % ("a", "null")), {}).columns["warnings"] is None


@pytest.mark.parametrize(("status", "is_read"), [(200, True), (201, True), (299, True), (302, False), (404, False)])
def test_an_answer_is_one_under_each_status_of_success(status: int, is_read: bool) -> None:
    """An answer with 201 is checked as one with 200 is; a redirection or an error is not an answer of a model."""
    answer = structs.replace(stream(DELTA % ("a", '"length"')), status_code=status)
    assert (outcome(END, answer, {}).columns["warnings"] is not None) is is_read


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_a_fault_of_ours_costs_no_bytes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content_type: str
) -> None:
    """If reading an answer fails, its bytes, its state and its headers are kept, and a warning says so."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret text")

    monkeypatch.setattr(derive, "read", fail)
    result = outcome(END, received(b"bytes", content_type), {"stream": True}, warnings=["first"])
    assert result.response_body == b"bytes"
    assert (result.stream == b"bytes") is (content_type == "text/event-stream")
    assert (result.columns["state"], result.columns["status_code"]) == (State.COMPLETED, 200)
    assert json.loads(str(result.columns["warnings"])) == [
        "first",
        "not read because of a fault in MoonPalace: ZeroDivisionError",
    ]
    assert "could not be read" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "\\ud83d", "model": "a\\u0000b", "choices": [{"finish_reason": "\\udcff"}]}',
        b'{"usage": {"prompt_tokens": 123456789012345678901234567890, "completion_tokens": 1e400}}',
        b'{"usage": {"prompt_tokens": -1, "completion_tokens": true, "total_tokens": "5"}}',
        b'{"choices": {"a": 1}, "usage": [], "error": 5, "model": [], "id": {}}',
        b"null",
        b'"text"',
    ],
)
def test_strange_answers_do_no_harm(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Reading any answer, as JSON or as an event, succeeds without a line in the log."""
    assert outcome(END, received(body), {"max_tokens": 10**30}).response_body == body
    assert outcome(END, stream(body.decode()), {}).stream == b"data: " + body + b"\n\n"
    assert caplog.records == []


def test_a_model_without_a_name_is_none() -> None:
    """The model of such a call is the requested one."""
    columns = outcome(END, stream(DELTA.replace('"m"', '""') % ("a", '"stop"'), "[DONE]"), {}).columns
    assert (columns["chatcmpl_id"], columns["model_answered"]) == ("c", None)
