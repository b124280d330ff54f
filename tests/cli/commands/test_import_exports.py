"""`mpal import` of exports, and of files that only look like exports."""

import errno
import json
import shutil
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.incoming.carried import CARRIED
from moonpalace_addons.store.incoming.exported import DocumentSource
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.write import derive
from tests.cli.conftest import Mpal, Store

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"


def documents(text: str) -> list[dict[str, Any]]:
    """Return exported calls without values that differ between stores."""
    results = [json.loads(line) for line in text.splitlines()]
    for each in results:
        each["metadata"].pop("moonpalace_id")
        each["tags"] = [tag for tag in each.get("tags", []) if tag != "imported"]
    return sorted(results, key=lambda each: json.dumps(each, sort_keys=True))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the original's file."""
    return Path(shutil.copyfile(REFERENCE, tmp_path_factory.mktemp("old") / "old.sqlite"))


@pytest.mark.parametrize("ending", ["json", "jsonl", "zip"])
def test_a_case_travels(mpal: Mpal, old: Path, tmp_path: Path, ending: str) -> None:
    """An export of one store is imported once by another, tagged, and exported again unchanged."""
    there = str(tmp_path / "there.sqlite")
    mpal("import", str(old))
    mpal("label", "--id", "3", "--bad", "--tag", "late", "--note", "why?")
    file = tmp_path / f"cases.{ending}"
    mpal("export", "--all", "--allow-secrets", "-o", str(file), *(["--format", "jsonl"] if ending == "jsonl" else []))
    result = mpal("import", str(file), "--database", there)
    assert (result.code, result.out, result.err) == (0, "imported 49 calls\n", "")
    assert mpal("import", str(file), "--database", there).out == "imported 0 calls, 49 were already here\n"
    exported = [
        mpal("export", "--all", "--allow-secrets", "--format", "jsonl", "-o", "-", "--database", database).out
        for database in (str(tmp_path / "home" / "moonpalace.sqlite"), there)
    ]
    assert exported[0].count("\n") == 49
    assert documents(exported[1]) == documents(exported[0])
    assert mpal("list", "--tag", "imported", "--count", "--database", there).out == "49\n"
    for command in (("log",), ("show",), ("why",), ("inspect", "--id", "1"), ("inspect", "--id", "1", "--chat")):
        assert mpal(*command, "--database", there).code == 0


EVENTS = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' * 3 + b"data: [DONE]\n\n"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_case_travels_with_its_times(mpal: Mpal, store: Store, tmp_path: Path, form: str) -> None:
    """An imported call has its method, its times to the last digit and the times of its events."""
    size = len(EVENTS.split(b"\n\n")[0]) + 2
    chunks = [(size, 1_000_001), (3 * size, 2_000_002), (len(EVENTS), 5_000_005)]
    asked = b'{"model":"kimi-k3","stream":true}'
    changes: dict[str, Any] = {
        "is_stream": True,
        "is_coerced": True,
        "changes": ("stream", "usage"),
        "warnings": ("a; b", "c"),
    }
    changes |= {"gap_p50": 7, "longest_stall": 3_000_003}
    changes |= {"price_input": 0.25, "price_cached": 0.5, "reported_cost": 0.1}
    moment = datetime(2026, 11, 22, 17, 27, 2, 123_456, tzinfo=UTC)
    store.add(request=asked, events=EVENTS, chunks=chunks, started_at=moment, method="M-SEARCH", **changes)
    file, there = tmp_path / f"case.{form}", f"sqlite:///{tmp_path / 'there.sqlite'}"
    assert mpal("export", "1", "--format", form, "-o", str(file)).code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        assert mpal("import", str(file), "--database", there).out == "imported 1 call\n"
    engine = open_store(there)
    try:
        assert contents.event_times(engine, 1) == chunks
        (before,), (after,) = (exchanges.latest(each, limit=1) for each in (store.engine, engine))
        names = [*CARRIED, "is_stream", "endpoint", "path", "query", "finish_reason", "total_tokens"]
        assert {name: getattr(after, name) for name in names} == {name: getattr(before, name) for name in names}
    finally:
        engine.dispose()


def test_a_case_travels_with_all_it_says(mpal: Mpal, store: Store, tmp_path: Path) -> None:
    """Sizes of what was sent, and not of what is kept, large numbers, exact costs and ids are those of the call."""
    said: dict[str, Any] = {
        "request_bytes": 1_000,
        "response_bytes": 2_000_000,
        "client_request_id": "mine",
        "prompt_tokens": 2**63 - 1,
        "output_tokens_per_second": 9e18,
        "latency": 2**63 - 1,
        "cost": 0.150006,
        "cost_input": 0.12345625,
        "cost_cached": 5e-11,
        "cost_output": 1 / 3,
    }
    headers = "X-Request-Id: mine\r\n"
    store.add(request=b'{"model": "m"}', response=b'{"cut": true', request_headers=headers, **said)
    store.add(response=b"{", response_bytes=None)
    file, there = tmp_path / "case.jsonl", f"sqlite:///{tmp_path / 'there.sqlite'}"
    assert mpal("export", "--all", "--format", "jsonl", "-o", str(file)).code == 0
    assert mpal("import", str(file), "--database", there).out == "imported 2 calls\n"
    engine = open_store(there)
    try:
        unknown, after = sorted(exchanges.latest(engine, limit=2), key=lambda call: call.latency or 0)
        assert {name: getattr(after, name) for name in said} == said
        assert unknown.response_bytes is None
    finally:
        engine.dispose()


def test_calls_that_differ_in_time_alone(mpal: Mpal, store: Store, tmp_path: Path) -> None:
    """Two tries within a second that are refused alike are two calls, in one file or in several."""
    there = f"sqlite:///{tmp_path / 'there.sqlite'}"
    for number in range(3):
        moment = datetime(2026, 11, 22, 17, 27, 2, number, tzinfo=UTC)
        store.add(request=b'{"model": "m"}', response=b"{}", status_code=429, started_at=moment)
    for calls, wanted in (("1-2", 2), ("2-3", 3)):
        file = tmp_path / f"{calls}.jsonl"
        assert mpal("export", calls, "--format", "jsonl", "-o", str(file)).code == 0
        assert mpal("import", str(file), "--database", there).code == 0
        assert mpal("list", "--count", "--database", there).out == f"{wanted}\n"


def test_what_follows_from_a_request_is_there(tmp_path: Path) -> None:
    """An imported call has the columns that a captured one derives from its request."""
    file = tmp_path / "case.json"
    body = {"model": "m", "stream": True}
    answer = {"status": "200 OK", "header": "", "body": None, "event_stream": EVENTS.decode()}
    file.write_text(json.dumps(GOOD | {"request": GOOD["request"] | {"body": body}, "response": answer}))
    derived = derive.asked_columns("", body)
    columns = DocumentSource(file).load(0).columns
    assert {name: columns[name] for name in derived} == derived
    assert columns["stream_requested"] is True


def test_exports_of_earlier_versions(mpal: Mpal, tmp_path: Path) -> None:
    """An export without these fields is imported as before: its time is local, its events have none."""
    file = tmp_path / "case.json"
    stream = {"status": "200 OK", "header": "", "body": None, "event_stream": EVENTS.decode()}
    file.write_text(json.dumps(GOOD | {"response": stream}), encoding="utf-8")
    assert mpal("import", str(file)).out == "imported 1 call\n"
    (document,) = documents(mpal("export", "1", "--format", "jsonl").out)
    assert document["exchange"]["started_at"] == "2026-11-29T21:00:00+00:00"
    assert document["exchange"].keys() == {"method", "started_at", "warnings", "request_bytes", "response_bytes"}
    assert "event_times" not in document["response"]


def test_what_earlier_exports_had_elsewhere(tmp_path: Path) -> None:
    """Sizes are those of the bodies, and costs those of the metadata, where an export does not carry them."""
    file = tmp_path / "case.json"
    metadata = GOOD["metadata"] | {"cost": "0.1235"}
    file.write_text(json.dumps(GOOD | {"metadata": metadata, "exchange": {"method": "POST"}}))
    columns = DocumentSource(file).load(0).columns
    assert [columns[name] for name in ("request_bytes", "response_bytes", "cost")] == [13, 2, 0.1235]


def test_what_a_header_says_is_there_whatever_an_export_has_beside(tmp_path: Path) -> None:
    """What an export does not carry because its headers say it is read from them."""
    file = tmp_path / "case.json"
    answer = {"status": "429 Too Many Requests", "header": "Retry-After: 7\r\n", "body": {}}
    file.write_text(json.dumps(GOOD | {"response": answer, "exchange": {"method": "POST"}}))
    assert DocumentSource(file).load(0).columns["retry_after"] == 7_000_000_000


GOOD: dict[str, Any] = {
    "metadata": {"requested_at": "2026-11-30 05:00:00", "state": "completed"},
    "request": {"url": "http://a/v1/x", "header": "", "body": {"model": "m"}},
    "response": {"status": "200 OK", "header": "", "body": {}},
}


def changed(**metadata: str) -> str:
    """Return an export with some metadata changed."""
    return json.dumps(GOOD | {"metadata": GOOD["metadata"] | metadata})


def beside(**fields: object) -> str:
    """Return an export with fields next to the metadata."""
    return json.dumps(GOOD | {"exchange": fields})


def timed(*times: object) -> str:
    """Return an export of a stream with these times of its four events."""
    return json.dumps(GOOD | {"response": {"event_stream": EVENTS.decode(), "event_times": times}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "there is no call in it"),
        ("{", "not JSON"),
        ("\0", "not JSON"),
        ("[1]", "Expected `object`, got `int`"),
        ("{}", "missing required field `metadata`"),
        ('{"metadata": {"a": 1}, "request": {}}', "Expected `str`, got `int` - at `$.metadata"),
        (changed(requested_at="soon"), "metadata.requested_at is not a time"),
        (changed(requested_at="2600-01-01 00:00:00"), "metadata.requested_at is not a time"),
        (changed(endpoint="http://["), "metadata.endpoint is not a URL"),
        (changed(state="lost"), "metadata.state is not a state of a call"),
        (changed(latency="9" * 400), "metadata.latency is not a whole number"),
        (changed(latency=str(2**63)), "metadata.latency is not a whole number"),
        (changed(prompt_tokens="-1"), "metadata.prompt_tokens is not a whole number"),
        (changed(cost="1e999"), "metadata.cost is not a number"),
        (json.dumps(GOOD | {"category": "odd"}), "category must be goodcase or badcase"),
        (json.dumps(GOOD | {"tags": ["a\nb"]}), "a tag is empty, too long or not printable"),
        (json.dumps(GOOD | {"request": {"body_base64": "?"}}), "a body is not base64"),
        ('{"metadata": {}, "request": {"body": ' + "[" * 10_000 + "]" * 10_000 + "}}", ""),
        (json.dumps(GOOD) + "\n" + "{", "not JSON"),
        (beside(started_at="2026-11-30T05:00:00"), "exchange.started_at is not a time with its zone"),
        (beside(started_at="2600-01-01T00:00:00Z"), "requested_at is not a time"),
        (beside(started_at=5), "exchange.started_at is not a time"),
        (beside(method="GET\x1b[2J"), "exchange.method is not a method"),
        (beside(latency=True), "exchange.latency is not a whole number that a call can have"),
        (beside(latency=2**63), "exchange.latency is not a whole number that a call can have"),
        (beside(overhead=-1), "exchange.overhead is not a whole number"),
        (beside(price_input=-0.5), "exchange.price_input is not a number that a call can have"),
        (beside(is_coerced="yes"), "exchange.is_coerced is not true or false"),
        (beside(changes="all"), "exchange.changes is not a list of texts"),
        (beside(changes=[1]), "Expected `str`, got `int`"),
        (timed(1, 2, 3), "response.event_times has 3 times for 4 events"),
        (timed(1, 3, 2, 4), "response.event_times are not times in ascending order"),
        (timed(-1, 2, 3, 4), "response.event_times are not times in ascending order"),
        (timed(1, 2, 3, 2**63), "response.event_times are not times in ascending order"),
        (timed(1, 2, 3, 4.5), "Expected `int`, got `float`"),
    ],
)
@pytest.mark.usefixtures("store")
def test_hostile_files(mpal: Mpal, tmp_path: Path, text: str, message: str) -> None:
    """One line says what is wrong, and nothing of the file is stored."""
    file = tmp_path / "case.json"
    file.write_text(text, encoding="utf-8")
    result = mpal("import", str(file))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: cannot import ")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert mpal("list", "--count").out == "0\n"


@pytest.mark.usefixtures("store")
def test_nul_and_secrets(mpal: Mpal, tmp_path: Path) -> None:
    """A NUL is kept as far as possible, and a key in a file is masked like one in a call."""
    key = "sk-Wq7Zx3Rt9pLm2Vb8Nc4Kd6Hf"
    body = {"model": "m\0", "messages": [{"role": "user", "content": f"a\0b {key}"}]}
    file = tmp_path / "case.json"
    request = {"url": "http://a/v1/x", "header": f"Authorization: Bearer {key}\r\n", "body": body}
    labels = {"note": f"a\0b {key}", "tags": [key]}
    file.write_text(json.dumps(GOOD | {"request": request} | labels), encoding="utf-8")
    assert mpal("import", str(file)).out == "imported 1 call\n"
    shown = mpal("export", "1", "--allow-secrets", "-o", "-").out
    assert key not in shown
    assert "a\\u0000b" in shown


@pytest.mark.usefixtures("store")
def test_half_an_emoji(mpal: Mpal, tmp_path: Path) -> None:
    """Invalid characters, which clients and models produce, become U+FFFD; a backslash is not one."""
    content = r"a\ud83d \ud83d\ude00 \\ud83d \\\ude00"
    file = tmp_path / "case.json"
    request = {"url": "http://a/v1/x", "body": {"content": "HERE"}}
    file.write_text(json.dumps(GOOD | {"request": request}).replace("HERE", content), encoding="utf-8")
    assert mpal("import", str(file)).out == "imported 1 call\n"
    shown = json.loads(mpal("export", "1", "-o", "-").out)["request"]["body"]["content"]
    assert shown == "a\ufffd \U0001f600 \\ud83d \\\ufffd"


@pytest.mark.parametrize("kind", ["bomb", "broken", "encrypted", "name", "lzma"])
@pytest.mark.usefixtures("store")
def test_hostile_bundles(mpal: Mpal, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip that expands too much, or cannot be read, is refused."""
    monkeypatch.setattr("moonpalace_addons.store.incoming.document_files.MAX_BYTES", 1_000_000)
    file = tmp_path / "cases.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA if kind == "lzma" else zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("ä.json", json.dumps(GOOD))
        bundle.writestr("b.json", " " * (3_000_000 if kind == "bomb" else 10))
    data = bytearray(file.read_bytes())
    if kind == "broken":
        data[40:50] = b"\0" * 10
    if kind == "lzma":
        data[41:46] = b"\xff" * 5  # its properties
    if kind == "name":
        data = data.replace("ä".encode(), b"\xff" * 2)
    if kind == "encrypted":
        data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(data)
    result = mpal("import", str(file))
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert result.err.startswith("Error: cannot import ")
    assert mpal("list", "--count").out == "0\n"


@pytest.mark.usefixtures("store")
def test_a_file_that_may_not_be_read(mpal: Mpal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says why."""
    file = tmp_path / "case.json"
    file.touch()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    result = mpal("import", str(file))
    assert (result.code, result.err) == (1, f"Error: cannot import {file}: Permission denied\n")
