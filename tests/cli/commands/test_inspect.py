"""Tests of `mpal inspect`."""

import json
import re

import pytest

from moonpalace_addons.store.records import labels
from moonpalace_addons.store.tasks import State
from moonpalace_cli.main import main
from moonpalace_cli.text.tables import STYLE
from tests.cli.conftest import Mpal, Store

# ruff: noqa: E501 - the tables expected are wide

REQUEST = b'{"model": "kimi-k3", "messages": [{"role": "user", "content": "\\u4f60\\u597d it\'s \\"me\\" <b>&</b>"}]}'
RESPONSE = b'{"id":"chatcmpl-00000001","choices":[],"usage":{"total_tokens":18.0}}'
EVENTS = 'data: {"choices":[{"delta":{"content":"你好"}}]}\n\ndata: [DONE]\n\n'

METADATA = """\
+--------------------------------------------------+
| metadata                                         |
+--------------------------------------------------+
| {                                                |
|     "chatcmpl": "chatcmpl-00000001",             |
|     "completion_tokens": "7",                    |
|     "content_type": "application/json",          |
|     "endpoint": "https://api.moonshot.cn",       |
|     "finish_reason": "stop",                     |
|     "group_id": "g-test",                        |
|     "latency": "1",                              |
|     "model": "kimi-k3",                          |
|     "moonpalace_id": "1",                        |
|     "prompt_tokens": "11",                       |
|     "request_content_type": "application/json",  |
|     "request_id": "req-00000001-aaaa-bbbb",      |
|     "requested_at": "2026-11-23 01:27:02",       |
|     "response_content_type": "application/json", |
|     "response_otps": "4176.6035",                |
|     "server_timing": "101",                      |
|     "state": "completed",                        |
|     "status": "200 OK",                          |
|     "total_tokens": "18",                        |
|     "user_id": "u-test"                          |
| }                                                |
+--------------------------------------------------+
"""
REFUSED = """\
+-------------------------------------------------+------------------------------------------------+
| metadata                                        | error                                          |
+-------------------------------------------------+------------------------------------------------+
| {                                               | connect: connection refused by 127.0.0.1:26335 |
|     "endpoint": "https://api.moonshot.cn",      |                                                |
|     "latency": "1",                             |                                                |
|     "model": "kimi-k3",                         |                                                |
|     "moonpalace_id": "1",                       |                                                |
|     "request_content_type": "application/json", |                                                |
|     "requested_at": "2026-11-23 01:27:02",      |                                                |
|     "state": "upstream_failed"                  |                                                |
| }                                               |                                                |
+-------------------------------------------------+------------------------------------------------+
"""
BODIES = """\
+--------------------------------------------------+--------------------------------+
| request_body                                     | response_body                  |
+--------------------------------------------------+--------------------------------+
| {                                                | {                              |
|     "model": "kimi-k3",                          |     "id": "chatcmpl-00000001", |
|     "messages": [                                |     "choices": [],             |
|         {                                        |     "usage": {                 |
|             "role": "user",                      |         "total_tokens": 18.0   |
|             "content": "你好 it's \\"me\\" <b>&</b |     }                          |
| >"                                               | }                              |
|         }                                        |                                |
|     ]                                            |                                |
| }                                                |                                |
+--------------------------------------------------+--------------------------------+
"""
ALL_OF_REFUSED = """\
+--------------------------------+--------------+-----------------+---------------+------------------------------------------------+
| request_header                 | request_body | response_header | response_body | error                                          |
+--------------------------------+--------------+-----------------+---------------+------------------------------------------------+
| Accept: application/json       | {}           |                 |               | connect: connection refused by 127.0.0.1:26335 |
| Content-Type: application/json |              |                 |               |                                                |
| User-Agent: OpenAI/Python 1.50 |              |                 |               |                                                |
+--------------------------------+--------------+-----------------+---------------+------------------------------------------------+
"""


@pytest.mark.parametrize(
    "identifier",
    [
        ["--id", "1"],
        ["--chatcmpl", "chatcmpl-00000001"],
        ["--requestid", "req-00000001-aaaa-bbbb"],
        ["--id", "1", "--requestid", "req-00000001-aaaa-bbbb"],
    ],
)
def test_metadata_by_any_identifier(store: Store, mpal: Mpal, identifier: list[str]) -> None:
    """Each identifier finds the call, and the default is the documented table of metadata."""
    store.add(request=REQUEST, response=RESPONSE)
    result = mpal("inspect", *identifier)
    assert (result.code, result.out, result.err) == (0, METADATA, "")


def test_failed_calls_show_their_error(store: Store, mpal: Mpal) -> None:
    """A failed call shows its error by default, but not if other parts are requested."""
    store.add(refused=True, response=None)
    assert mpal("inspect", "--id", "1").out == REFUSED
    assert "error" not in mpal("inspect", "--id", "1", "--print", "metadata").out


def test_an_answer_that_holds_an_error(store: Store, mpal: Mpal) -> None:
    """A status of 200 does not hide an error in the answer: list marks it, inspect shows it, predicates find it."""
    store.add()
    store.add(error_kind="server_error", error_message="the engine broke down")
    store.add(status_code=429, error_kind="busy", error_message="later")
    shown = mpal("inspect", "--id", "2").out
    assert "| error " in shown
    assert "server_error: the engine broke down" in shown
    assert "| 2  | 200 error |" in mpal("list", "--columns", "id,status").out
    found = mpal("list", "--predicate", "error_kind && status == 200", "--columns", "id,error_kind", "--json").out
    assert found == '{"id": 2, "error_kind": "server_error"}\n'


def test_parts(store: Store, mpal: Mpal) -> None:
    """Bodies are indented, escapes are characters, numbers and key order are unchanged, lines wrap at 48."""
    store.add(request=REQUEST, response=RESPONSE)
    assert mpal("inspect", "--id", "1", "--print", "request_body,response_body").out == BODIES


def test_parts_of_a_call_without_an_answer(store: Store, mpal: Mpal) -> None:
    """Missing parts are empty; parts are in the requested order, however they are given."""
    headers = "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.50\r\n"
    store.add(refused=True, request=b"{}", response=None, request_headers=headers)
    parts = ["--print", "request_header, request_body", "--print", "response_header,response_body,error,error"]
    assert mpal("inspect", "--id", "1", *parts).out == ALL_OF_REFUSED


ERROR_FOR_BODY = """\
+-----------------+------------------------------------------------+--------------+
| response_header | error                                          | request_body |
+-----------------+------------------------------------------------+--------------+
|                 | connect: connection refused by 127.0.0.1:26335 | {}           |
+-----------------+------------------------------------------------+--------------+
"""


def test_the_error_stands_for_a_body_that_never_came(store: Store, mpal: Mpal) -> None:
    """If there is no body of the answer, the error is shown in its place."""
    store.add(request=b"{}", response=None, refused=True)
    store.add(request=b"{}", response=b"part of it", refused=True, status_code=200)
    store.add(request=b"{}", response=None, status_code=204)
    parts = ["--print", "response_header,response_body,request_body"]
    assert mpal("inspect", "--id", "1", *parts).out == ERROR_FOR_BODY
    assert "| part of it" in mpal("inspect", "--id", "2", *parts).out
    assert "| response_body |" in mpal("inspect", "--id", "3", *parts).out


def test_http_format(store: Store, mpal: Mpal) -> None:
    """A stream is printed with its events byte for byte, or with the merged completion."""
    store.add(
        request=b"{}",
        response=RESPONSE,
        events=EVENTS.encode(),
        is_stream=True,
        response_headers="Content-Type: text/event-stream\r\n",
        request_headers="Accept: */*\r\n",
    )
    request = "POST https://api.moonshot.cn/v1/chat/completions HTTP/1.1\nAccept: */*\n\n{}\n"
    head = "HTTP/1.1 200 OK\nContent-Type: text/event-stream\n\n"
    assert mpal("inspect", "--id", "1", "--print-request").out == request
    assert mpal("inspect", "--id", "1", "--print-response").out == head + EVENTS
    both = mpal("inspect", "--id", "1", "--print-request", "--print-response", "--merge-event-stream").out
    merged = '{\n    "id": "chatcmpl-00000001",\n    "choices": [],\n    "usage": {\n        "total_tokens": 18.0\n    }\n}\n'
    assert both == request + "\n" + head + merged


def test_bytes_are_printed_as_they_are(store: Store, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A body that is not text is written to a pipe unchanged."""
    store.add(response=b"\xff\x00\r\n", response_headers="A: b\r\n")
    assert main(["inspect", "--id", "1", "--print-response"]) == 0
    assert capsysbinary.readouterr().out == b"HTTP/1.1 200 OK\nA: b\n\n\xff\x00\r\n"


def test_json(store: Store, mpal: Mpal) -> None:
    """With --json one object holds metadata, every stored field with its type, request, response and error."""
    store.add(refused=True, request=REQUEST, response=None, state=State.TIMED_OUT, is_stream=True)
    document = json.loads(mpal("inspect", "--id", "1", "--json").out)
    assert list(document) == ["metadata", "exchange", "request", "response", "error", "tags", "explanations", "reports"]
    assert document["metadata"]["state"] == "timed_out"
    assert document["request"]["body"] == json.loads(REQUEST)
    assert document["response"] == {"status": "", "header": "", "body": ""}
    fields = document["exchange"]
    assert (fields["id"], fields["latency"], fields["is_stream"]) == (1, 1_676_003, True)
    assert (fields["started_at"], fields["warnings"]) == ("2026-11-22T17:27:02+00:00", [])
    assert fields["chatcmpl_id"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            [],
            2,
            "at least one of the flags in the group [id chatcmpl requestid] is required, or an ID (mpal inspect 13), "
            "--last or a filter such as --failed (see mpal inspect --help)",
        ),
        (["--id", "99999"], 1, "no stored call has id 99999; mpal list shows the stored calls"),
        (["--chatcmpl", ""], 1, "no stored call has chatcmpl ; mpal list shows the stored calls"),
        (
            ["--id", "1", "--print", "metadata,bodies"],
            2,
            "Invalid value for '--print': 'bodies' is not one of metadata, request_header, request_body, response_header, "
            "response_body, error (see mpal inspect --help)",
        ),
        (
            ["--id", "1", "--last"],
            2,
            "--id and --last exclude each other (see mpal inspect --help)",
        ),
        (["--id", "1", "--chat", "--json"], 2, "--chat and --json exclude each other (see mpal inspect --help)"),
        (
            ["--id", "1", "--chat", "--timeline"],
            2,
            "--chat and --timeline exclude each other (see mpal inspect --help)",
        ),
        (
            ["--id", "1", "--timeline", "--print", "error"],
            2,
            "--timeline is a view of its own: leave out the --print options and --merge-event-stream "
            "(see mpal inspect --help)",
        ),
        (["--id", "1", "--all-events"], 2, "--all-events is for --timeline (see mpal inspect --help)"),
        (
            ["--id", "1", "--timeline"],
            1,
            "call 1 has no stream: only the events of a stream have a timeline",
        ),
        (
            ["--id", "1", "--chat"],
            1,
            "call 1 contains no conversation; mpal inspect --print-request shows what it is",
        ),
        (
            ["--id", "1", "--json", "--print-request"],
            2,
            "--json prints everything: leave out --print, --print-request and --print-response (see mpal inspect --help)",
        ),
        (
            ["--id", "1", "--print", "error", "--print-request"],
            2,
            "--print gives a table: leave out --print-request and --print-response (see mpal inspect --help)",
        ),
    ],
)
def test_errors(store: Store, mpal: Mpal, arguments: list[str], code: int, message: str) -> None:
    """Wrong usage and unknown calls are one line each."""
    store.add()
    result = mpal("inspect", *arguments)
    assert (result.code, result.out, result.err) == (code, "", f"Error: {message}\n")


def test_the_last_call(store: Store, mpal: Mpal) -> None:
    """--last shows the newest call; an empty store has none."""
    result = mpal("inspect", "--last")
    assert (result.code, result.err) == (1, "Error: no call is stored yet: run mpal start and make a call through it\n")
    store.add()
    store.add(chatcmpl_id="chatcmpl-newest")
    assert '"chatcmpl": "chatcmpl-newest"' in mpal("inspect", "--last").out


def test_labels(store: Store, mpal: Mpal) -> None:
    """Labels are among the metadata of a call that has any, and lists in JSON."""
    row_id = store.add(request=REQUEST, response=RESPONSE)
    labels.change(store.engine, [row_id], labels.Change(category="badcase", tag=("b", "a"), note="错了"))
    metadata = mpal("inspect", "--last").out
    assert '"category": "badcase"' in metadata
    assert '"note": "错了"' in metadata
    assert '"tags": "a, b"' in metadata
    document = json.loads(mpal("inspect", "--last", "--json").out)
    assert (document["tags"], document["exchange"]["category"]) == (["a", "b"], "badcase")


@pytest.mark.parametrize("levels", [900, 1_100, 100_000])
@pytest.mark.parametrize("place", ["content", "request", "answer"])
def test_deep_nesting_is_shown_or_named(store: Store, mpal: Mpal, levels: int, place: str) -> None:
    """However deeply a body is nested, every view shows what it can, or one line."""
    deep = b"[" * levels + b"]" * levels
    content, asked, answered = (deep if place == name else b'"x"' for name in ("content", "request", "answer"))
    request = b'{"model": "m", "x": %s, "messages": [{"role": "user", "content": %s}]}' % (asked, content)
    message = b'{"role": "assistant", "content": "ok", "x": %s}' % answered
    store.add(request=request, response=b'{"choices": [{"index": 0, "message": %s}]}' % message)
    for view in (["inspect", "--id", "1", "--chat"], ["inspect", "--id", "1"], ["show", "1"], ["why", "1"]):
        result = mpal(*view)
        assert result.code == 0 or result.err.startswith("Error: call 1 contains no conversation")
        assert "unexpected" not in result.err


def test_chat(store: Store, mpal: Mpal) -> None:
    """--chat shows the conversation, with the merged answer of a stream."""
    answer = {"choices": [{"message": {"content": "再见"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    store.add(request=REQUEST, response=json.dumps(answer).encode(), events=b"data: 1\n\n", is_stream=True)
    assert mpal("inspect", "--last", "--chat").out.split("\n") == [
        "── user",
        '  你好 it\'s "me" <b>&</b>',
        "",
        "══ answer of kimi-k3 (finish reason stop, 1.6ms)",
        "  再见",
        "",
        "tokens: 3 prompt + 0 completion",
        "",
    ]


def test_timeline(store: Store, mpal: Mpal) -> None:
    """--timeline shows when each event arrived; with --json each is a line."""
    store.add(events=EVENTS.encode(), chunks=[(20, 5_000_000), (len(EVENTS.encode()), 9_000_000)], is_stream=True)
    lines = mpal("inspect", "--last", "--timeline", "--all-events").out.splitlines()
    assert lines[0] == "call 1: 2 events in 1.6ms"
    assert [line.split("|")[2].strip() for line in lines[5:7]] == ["9.0ms", "9.0ms"]
    events = [json.loads(line) for line in mpal("inspect", "--last", "--timeline", "--json").out.splitlines()]
    assert [(event["at_ms"], event["kind"], event["text"]) for event in events] == [
        (9.0, "content", "你好"),
        (9.0, "done", ""),
    ]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Simulate a terminal of 80 columns and 24 lines; return the pager's input."""
    texts: list[str] = []
    for module in ("output", "views.inspecting.paging", "text.colours", "commands.inspect"):
        monkeypatch.setattr(f"moonpalace_cli.{module}.is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.echo_via_pager", texts.append)
    # click removes colours if the output is not a terminal, as here.
    monkeypatch.setattr("click.echo", print)
    for name, value in {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    return texts


VIEWS = [[], ["--json"], ["--print-request", "--print-response"], ["--print", "request_body,metadata"]]


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
def test_colours(
    store: Store, mpal: Mpal, terminal: list[str], monkeypatch: pytest.MonkeyPatch, view: list[str]
) -> None:
    """JSON is coloured on a terminal, without changing anything else; NO_COLOR is respected."""
    store.add(request=REQUEST, response=RESPONSE)
    coloured = mpal("inspect", "--last", "--no-pager", *view).out
    monkeypatch.setenv("NO_COLOR", "1")
    plain = mpal("inspect", "--last", "--no-pager", *view).out
    assert "\x1b[36m" in coloured
    assert "\x1b" not in plain
    assert STYLE.sub("", coloured) == plain
    assert terminal == []


def test_pager(store: Store, mpal: Mpal, terminal: list[str]) -> None:
    """Output that does not fit on the terminal goes through the pager, unless --no-pager is given."""
    content = "line\\n" * 30
    store.add(request=f'{{"messages": [{{"role": "user", "content": "{content}"}}]}}'.encode())
    assert mpal("inspect", "--last", "--chat").out == ""
    assert terminal[0].count("  line\n") == 30
    assert mpal("inspect", "--last", "--chat", "--no-pager").out.count("  line\n") == 30
    assert len(terminal) == 1


def test_bytes_do_not_go_to_a_terminal(store: Store, mpal: Mpal, terminal: list[str]) -> None:
    """On a terminal only the length of a binary body is shown."""
    store.add(response=b"\xff\x00", response_headers="A: b\r\n")
    out = mpal("inspect", "--last", "--print-response").out
    assert out.endswith("(2 bytes that are not UTF-8 text; pipe the output to get them)\n")


def test_what_a_terminal_would_obey_is_harmless(store: Store, mpal: Mpal, terminal: list[str]) -> None:
    """No view passes an API's or a user's control sequences to the terminal: the only escapes are our colours."""
    nasty = json.dumps({"messages": [{"role": "user\x1b[2J", "content": "\x9b1m\x07\u202e"}]}, ensure_ascii=False)
    events = f"data: {json.dumps({'choices': [{'delta': {'content': chr(27) + 'c'}}]})}\n\nnot \x1b[2J\n\n"
    store.add(request=nasty.encode(), response=b"\x1b[2J", events=events.encode(), is_stream=True, note="\x1b[2J")
    for view in (*VIEWS, ["--chat"], ["--timeline"]):
        shown = "".join([mpal("inspect", "--last", *view).out, *terminal])
        assert set(re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", STYLE.sub("", shown))) == set(), view
