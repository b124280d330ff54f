"""Tests of `mpal export`."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Mpal, Store

# ruff: noqa: E501 - the document expected is wide

REQUEST = '{"model": "plain", "n": 1.10, "messages": [{"content": "你好 it\'s \\"me\\" <b>&</b>"}]}'.encode()
RESPONSE = '{"id": "chatcmpl-00000001", "content": "你好，I am Kimi. <b>&</b>", "seed": 123456789012345678901}'.encode()

DOCUMENT = """\
{
    "metadata": {
        "chatcmpl": "chatcmpl-00000001",
        "content_type": "application/json",
        "endpoint": "https://api.moonshot.cn",
        "group_id": "g-test",
        "latency": "1",
        "moonpalace_id": "1",
        "request_content_type": "application/json",
        "request_id": "req-00000001-aaaa-bbbb",
        "requested_at": "2026-11-23 01:27:02",
        "response_content_type": "application/json",
        "response_otps": "4176.6035",
        "server_timing": "101",
        "state": "completed",
        "status": "200 OK",
        "user_id": "u-test"
    },
    "request": {
        "url": "https://api.moonshot.cn/v1/chat/completions?a=1",
        "header": "Accept: application/json\\r\\nContent-Type: application/json\\r\\nUser-Agent: OpenAI/Python 1.50.0\\r\\nX-Stainless-Lang: python\\r\\n",
        "body": {
            "model": "plain",
            "n": 1.10,
            "messages": [
                {
                    "content": "你好 it's \\"me\\" <b>&</b>"
                }
            ]
        }
    },
    "response": {
        "status": "200 OK",
        "header": "Content-Type: application/json\\r\\nMsh-Gid: g-test\\r\\nMsh-Request-Id: req-00000001-aaaa-bbbb\\r\\nMsh-Uid: u-test\\r\\nServer-Timing: inner; dur=101\\r\\n",
        "body": {
            "id": "chatcmpl-00000001",
            "content": "你好，I am Kimi. <b>&</b>",
            "seed": 123456789012345678901
        }
    },
    "category": "goodcase",
    "tags": [
        "a",
        "b,c"
    ],
    "exchange": {
        "started_at": "2026-11-22T17:27:02+00:00",
        "method": "POST",
        "request_bytes": 97,
        "response_bytes": 311,
        "latency": 1676003,
        "time_to_headers": 1200000,
        "output_tokens_per_second": 4176.6035,
        "overhead": 90000
    }
}
"""
NO_TOKENS: dict[str, Any] = {
    "model_requested": None,
    "model_answered": None,
    "finish_reason": None,
    "prompt_tokens": None,
    "completion_tokens": None,
    "total_tokens": None,
}


def test_documented_document(store: Store, mpal: Mpal) -> None:
    """The document has the documented members, and the original bodies: key order, digits, characters."""
    store.add(request=REQUEST, response=RESPONSE, query="a=1", **NO_TOKENS)
    result = mpal("export", "--id", "1", "--good", "--tag", "a", "--tag", "b,c")
    assert (result.code, result.out, result.err) == (0, DOCUMENT, "")
    assert mpal("export", "--chatcmpl", "chatcmpl-00000001", "-o", "-").out == DOCUMENT


def test_unlabelled_document(store: Store, mpal: Mpal) -> None:
    """Without labels there is no member for them."""
    store.add(request=REQUEST, response=RESPONSE)
    assert list(json.loads(mpal("export", "--id", "1").out)) == ["metadata", "request", "response", "exchange"]


def test_labels_are_stored(store: Store, mpal: Mpal) -> None:
    """Labels from --good, --bad and --tag are stored: later exports have them; new ones are first among the tags."""
    store.add(note="odd")
    mpal("export", "--id", "1", "--good", "--tag", "python", "--tag", "code")
    document = json.loads(mpal("export", "--id", "1", "--bad", "--tag", "z").out)
    assert (document["category"], document["tags"], document["note"]) == ("badcase", ["z", "code", "python"], "odd")
    assert json.loads(mpal("export", "--id", "1").out)["tags"] == ["code", "python", "z"]


def test_escaped_html(store: Store, mpal: Mpal) -> None:
    """With --escape-html the document is equivalent without <, > and &."""
    store.add(request=REQUEST, response=RESPONSE)
    escaped = mpal("export", "--id", "1", "--bad", "--escape-html").out
    assert json.loads(escaped) == json.loads(mpal("export", "--id", "1", "--bad").out)
    assert not set(escaped) & set("<>&")
    assert json.loads(escaped)["category"] == "badcase"


def test_stream(store: Store, mpal: Mpal) -> None:
    """A stream is exported merged, with its events beside it."""
    store.add(response=b'{"merged":true}', events="data: 中\r\n\r\n".encode(), is_stream=True)
    response = json.loads(mpal("export", "--id", "1").out)["response"]
    assert response["body"] == {"merged": True}
    assert response["event_stream"] == "data: 中\r\n\r\n"


def test_stream_that_could_not_be_merged(store: Store, mpal: Mpal) -> None:
    """Without a merged completion the body is null and only the events are there."""
    store.add(response=None, events=b": hb\n\n", is_stream=True)
    response = json.loads(mpal("export", "--id", "1").out)["response"]
    assert (response["body"], response["event_stream"]) == (None, ": hb\n\n")


def test_failed_call(store: Store, mpal: Mpal) -> None:
    """A failed call has its error and an empty response."""
    store.add(refused=True, response=None)
    document = json.loads(mpal("export", "--id", "1").out)
    assert document["error"] == "connect: connection refused by 127.0.0.1:26335"
    assert document["response"] == {"status": "", "header": "", "body": ""}


def test_bodies_that_are_not_json(store: Store, mpal: Mpal) -> None:
    """Text is unchanged, bytes are in base64 under a separate key."""
    store.add(request=b"\xff\x00", response=b"<html>\n")
    document = json.loads(mpal("export", "--id", "1").out)
    assert document["request"]["body_base64"] == "/wA="
    assert "body" not in document["request"]
    assert document["response"]["body"] == "<html>\n"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "chatcmpl-00000001.json"),
        ({"chatcmpl_id": None}, "req-00000001-aaaa-bbbb.json"),
        ({"chatcmpl_id": None, "msh_request_id": None}, "moonpalace-1.json"),
        ({"chatcmpl_id": "../../x"}, "_.._x.json"),
        ({"chatcmpl_id": ".."}, "moonpalace-1.json"),
    ],
)
def test_file_names(store: Store, mpal: Mpal, tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    """A file is named after the completion, else the request, else the row, and is never outside its folder."""
    store.add(request=REQUEST, **changes)
    result = mpal("export", "--id", "1", "--directory", str(tmp_path / "made" / "here"))
    path = tmp_path / "made" / "here" / name
    assert (result.code, result.out, result.err) == (0, f"{path}\n", "")
    assert path.read_text() == mpal("export", "--id", "1").out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_are_never_overwritten(store: Store, mpal: Mpal, tmp_path: Path) -> None:
    """Another export of the same call gets the next free name; an identical one is not written again."""
    store.add()
    paths = [
        mpal("export", "--id", "1", "--directory", str(tmp_path), *flags).out.strip()
        for flags in ([], ["--good"], [], ["--curl"], ["--bad", "--force"])
    ]
    stem = "chatcmpl-00000001"
    names = [f"{stem}.json", f"{stem}-2.json", f"{stem}-2.json", f"{stem}.sh", f"{stem}.json"]
    assert paths == [str(tmp_path / name) for name in names]


def test_output_file(store: Store, mpal: Mpal, tmp_path: Path) -> None:
    """With --output the document is written to that file, and nothing is printed."""
    store.add(response=b'"\\ud800"')
    result = mpal("export", "--id", "1", "--output", str(tmp_path / "out.json"))
    assert (result.code, result.out, result.err) == (0, "", "")
    written = (tmp_path / "out.json").read_text()
    assert json.loads(written)["response"]["body"] == "\ud800"
    assert written == mpal("export", "--id", "1").out


def test_curl(store: Store, mpal: Mpal) -> None:
    """With --curl the command is printed, including the body."""
    store.add(request=REQUEST, request_headers="Content-Type: application/json\r\n")
    assert mpal("export", "--id", "1", "--curl").out == (
        "curl -X 'POST' 'https://api.moonshot.cn/v1/chat/completions' \\\n"
        '\t-H "Authorization: Bearer $MOONSHOT_API_KEY" \\\n'
        "\t-H 'Content-Type: application/json' \\\n"
        "\t-H 'User-Agent:' \\\n"
        "\t-H 'Accept:' \\\n"
        "\t--data-raw '" + REQUEST.decode().replace("'", "'\"'\"'") + "'\n"
    )


def test_identifiers_must_all_hold(store: Store, mpal: Mpal) -> None:
    """The document's example gives all three identifiers, which must belong to one call."""
    store.add(started_at=datetime(2024, 7, 29, tzinfo=UTC))
    store.add(chatcmpl_id="other")
    both = ("--chatcmpl", "chatcmpl-00000001", "--requestid", "req-00000001-aaaa-bbbb")
    assert json.loads(mpal("export", "--id", "1", *both).out)["metadata"]["moonpalace_id"] == "1"
    result = mpal("export", "--id", "2", *both)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "Error: no stored call has id 2 and chatcmpl chatcmpl-00000001 and request_id req-00000001-aaaa-bbbb; "
        "mpal list shows the stored calls\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            [],
            2,
            "at least one of the flags in the group [id chatcmpl requestid] is required, or an ID "
            "(mpal export 13), --last, a filter such as --failed, or --all "
            "(see mpal export --help)",
        ),
        (["--id", "1", "--good", "--bad"], 2, "--good and --bad exclude each other (see mpal export --help)"),
        (
            ["--id", "1", "--directory", "x", "-o", "y"],
            2,
            "--directory and --output exclude each other (see mpal export --help)",
        ),
        (["--id", "0"], 2, None),
        (["--id", "1", "--id", "7"], 1, "no stored call has id 7; mpal list shows the stored calls"),
        (["--id", "1", "--force"], 2, None),
        (
            ["--id", "1", "--curl", "--report"],
            2,
            "--format, --curl and --report exclude each other (see mpal export --help)",
        ),
        (["--id", "1", "--format", "xml"], 2, None),
        (["--id", "1", "--tag", " "], 2, None),
        (
            ["--id", "1", "--format", "dataset"],
            1,
            "call 1 cannot be exported as dataset: it asks with a body that is not a JSON object with messages",
        ),
        (["--id", "1", "-o", "/nowhere/x.zip"], 1, "cannot write /nowhere/x.zip: there is no folder /nowhere"),
        (["--id", "1", "--redact", "--redact-pattern", "(?<=a)b"], 2, None),
        (["--id", "1", "-o", "/nowhere/x"], 1, "cannot write /nowhere/x: there is no folder /nowhere"),
        (["--id", "1", "--directory", "/dev/null/x"], 1, "cannot write into /dev/null/x: Not a directory"),
    ],
)
def test_errors(store: Store, mpal: Mpal, arguments: list[str], code: int, message: str | None) -> None:
    """Wrong usage and places that cannot be written to are one line each."""
    store.add()
    result = mpal("export", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert message is None or result.err == f"Error: {message}\n"
