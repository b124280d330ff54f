"""The pages of the console, as seen by programs."""

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import event

from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.state import State
from moonpalace_cli.web import time_limit
from moonpalace_cli.web.tabs import TABS
from tests.authorities import NO_AUTHORITIES
from tests.cli.conftest import Mpal, Store
from tests.cli.web import samples
from tests.cli.web.serving import TOKEN, serving
from tests.exchanges import STARTED

JSON = {"Accept": "application/json"}
ID = re.compile(r'<tr id="call-(\d+)"')


def ids(page: httpx.Response) -> list[int]:
    """Return the ids of the calls in a list."""
    return [int(found) for found in ID.findall(page.text)]


def test_files_of_the_pages_are_kept(client: httpx.Client) -> None:
    """Browsers cache the script and the style sheet, whose addresses change with their content."""
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/").text)
    assert len(files) == 3
    for file in files:
        kept, other = client.get(file), client.get(f"{file}0")
        assert kept.content == other.content
        assert "immutable" in kept.headers["Cache-Control"]
        assert "Vary" not in kept.headers
        assert other.headers["Cache-Control"] == "no-store"


def test_an_empty_store(client: httpx.Client) -> None:
    """The list of an empty store says what to do."""
    assert "mpal start" in client.get("/").text


def test_pages_of_the_list(store: Store, client: httpx.Client) -> None:
    """Following the links to older calls shows each call once; the links to newer ones lead back."""
    made = [samples.plain(store.add, started_at=STARTED + timedelta(seconds=number // 3)) for number in range(250)]
    first = client.get("/")
    second = client.get(link(first, "next"))
    third = client.get(link(second, "next"))
    assert ids(first) + ids(second) + ids(third) == made[::-1]
    assert 'rel="next"' not in third.text
    back = client.get(link(third, "prev"))
    assert ids(back) == ids(second)
    assert 'rel="prev"' not in first.text


def link(page: httpx.Response, rel: str) -> str:
    """Return the target of a link."""
    match = re.search(rf'rel="{rel}"[^>]* href="([^"]+)"', page.text)
    assert match
    return match[1].replace("&amp;", "&")


def test_a_call_as_json(mpal: Mpal, store: Store, client: httpx.Client) -> None:
    """Programs get all that `mpal inspect --json` says, and how the call ended."""
    samples.plain(store.add)
    document = client.get("/calls/1", headers=JSON).json()
    assert document | json.loads(mpal("inspect", "1", "--json").out) == document
    assert document.keys() >= {"explanations", "reports", "outcome", "reasons", "conversation"}


def test_the_list_as_json(store: Store, client: httpx.Client) -> None:
    """Programs get the records of `mpal list --json`, and the addresses of adjacent pages."""
    samples.plain(store.add, note="x")
    samples.refused(store.add)
    document = client.get("/", params={"q": "status == 429"}, headers=JSON).json()
    assert [(call["status"], call["model"]) for call in document["calls"]] == [(429, "kimi-k2.6")]
    assert (document["older"], document["newer"]) == (None, None)
    chosen = client.get("/", params={"columns": "id,note"}, headers=JSON).json()
    assert {"id": 1, "note": "x"} in chosen["calls"]
    wrong = client.get("/", params={"columns": "notes"}, headers=JSON)
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (
        400,
        "there is no column 'notes'; did you mean note or otps?",
    )


def test_a_mistake_in_the_filter(client: httpx.Client) -> None:
    """The page says what is wrong and where; programs get the position."""
    query = {"q": "status_code >> 400"}
    page = client.get("/", params=query)
    assert page.status_code == 400
    assert 'aria-invalid="true"' in page.text
    assert 'value="status_code &gt;&gt; 400"' in page.text
    result = client.get("/", params=query, headers=JSON)
    assert result.status_code == 400
    assert result.json()["error"]["position"] == 13


@pytest.mark.parametrize("place", ["x", "1-2-3", "99999999999999999999-1"])
def test_a_bad_place(client: httpx.Client, place: str) -> None:
    """An invalid position is reported."""
    assert client.get("/", params={"before": place}, headers=JSON).status_code == 400


@pytest.mark.parametrize(
    "make", [samples.truncated, samples.tool_use, samples.refused, samples.running, samples.hostile]
)
def test_every_tab(store: Store, client: httpx.Client, make: samples.Make) -> None:
    """Each tab of each kind of call works, for people and for programs, without active content from the call."""
    row_id = make(store.add)
    for tab in TABS:
        path = f"/calls/{row_id}" + (f"/{tab}" if tab else "")
        page = client.get(path)
        assert page.status_code == 200, page.text
        assert page.text.count("<script") == 1
        assert not re.search(
            r"<[^>]* (on\w+|style)=|<img (?!src=\"data:image/png;base64)", page.text.replace("&#34;", "")
        )
        assert "\u202e" not in page.text
        document = client.get(path, headers=JSON)
        assert document.headers["Content-Type"] == "application/json; charset=UTF-8"
        document.json()


def test_why_a_call_was_cut(store: Store, client: httpx.Client) -> None:
    """The page of a truncated call has the causes of `mpal why`, a loop before the limit; so does its document."""
    row_id = samples.truncated(store.add)
    assert "the answer was cut at 4096 tokens, and 3900 of them were reasoning" in client.get(f"/calls/{row_id}").text
    document = client.get(f"/calls/{row_id}", headers=JSON).json()
    advice = [reason["advice"].split()[0] for reason in document["reasons"]]
    assert advice[:2] == ["mpal", "raise"]
    assert document["outcome"] == "cut by max_tokens"
    assert document["exchange"]["id"] == row_id


def test_neighbours_are_those_of_the_filter(store: Store, client: httpx.Client) -> None:
    """Next and previous are among the calls that match the filter."""
    made = [samples.plain(store.add), samples.refused(store.add), samples.plain(store.add)]
    query = "?" + urlencode({"q": "status == 200"})
    page = client.get(f"/calls/{made[2]}{query}").text
    assert f'id="older" rel="next" href="/calls/{made[0]}{query}"' in page
    assert f'href="/calls/{made[1]}"' in client.get(f"/calls/{made[2]}").text


def test_raw_bodies(store: Store, client: httpx.Client) -> None:
    """A body is returned as stored, as uninterpreted text, or as a file if it is not text."""
    row_id = store.add(request=b'{"a":1.10}', response=b"\xff\xfe")
    text = client.get(f"/calls/{row_id}/request/raw")
    assert (text.content, text.headers["Content-Type"]) == (b'{"a":1.10}', "text/plain; charset=UTF-8")
    file = client.get(f"/calls/{row_id}/response/raw")
    assert file.content == b"\xff\xfe"
    assert file.headers["Content-Disposition"].startswith("attachment")


def test_labels(store: Store, client: httpx.Client) -> None:
    """A form sets its fields and keeps others; a program does the same with JSON."""
    row_id = samples.plain(store.add)
    path = f"/calls/{row_id}/labels"
    answer = client.post(path, data={"category": "bad", "q": "id > 0"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/calls/{row_id}?q=id+%3E+0")
    client.post(path, json={"tag": "cut", "note": "看看"})
    document = client.post(path, json={"tag": "again"}, headers=JSON).json()
    assert document == {"id": row_id, "category": "badcase", "tags": ["again", "cut"], "note": "看看"}
    document = client.post(path, json={"untag": "cut", "category": "", "note": ""}, headers=JSON).json()
    assert document == {"id": row_id, "category": None, "tags": ["again"], "note": None}


@pytest.mark.parametrize(
    "body",
    [
        *('{"tag": "a\\nb"}', '{"category": "ugly"}', '{"note": "\\u001b"}', '{"tag": "\\ud800"}'),
        *("[]", "{", '{"tag": 1}', "[" * 100_000 + "]" * 100_000),
    ],
    ids=str.__len__,
)
def test_bad_labels(store: Store, client: httpx.Client, body: str) -> None:
    """A label that cannot be stored is refused with a sentence."""
    row_id = samples.plain(store.add)
    headers = JSON | {"Content-Type": "application/json"}
    answer = client.post(f"/calls/{row_id}/labels", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_exports_are_redacted_by_default(store: Store, client: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    """A file has no address and no account of anybody, unless requested; the answer says what was replaced."""
    mail = "jane.doe@example.com"
    row_id = samples.plain(store.add, request=samples.request(samples.message("user", mail)))
    path = f"/calls/{row_id}/export"
    file = client.get(path, params={"format": "report"})
    assert mail not in file.text
    assert file.headers["Content-Disposition"] == 'attachment; filename="chatcmpl-00000001.md"'
    assert json.loads(file.headers["MoonPalace-Redaction"]) == ["replaced: 2 accounts, 1 e-mail address"]
    chinese = client.get(path, headers={"Accept-Language": "zh"})
    assert json.loads(chinese.headers["MoonPalace-Redaction"]) == ["已替换：2 个账号、1 个邮箱地址"]
    assert capfd.readouterr() == ("", "")
    assert mail in client.get(path, params={"format": "curl", "redact": "no", "inline": "yes"}).text
    assert client.get(path, params={"format": "docx"}).status_code == 400
    assert client.get(path, params={"redact": "maybe"}).status_code == 400


def test_a_secret_is_not_exported(store: Store, client: httpx.Client) -> None:
    """Without redaction a call that seems to contain a key is refused, like by `mpal export`."""
    key = "sk-proj-" + "Ab3" * 20
    row_id = store.add(request=samples.request(samples.message("user", f"my key is {key}")), response=b"{}")
    path = f"/calls/{row_id}/export"
    refused = client.get(path, params={"redact": "no"}, headers=JSON)
    assert refused.status_code == 400
    assert "seems to contain a secret" in refused.json()["error"]["message"]
    assert key not in client.get(path).text


def test_what_is_not_there(client: httpx.Client) -> None:
    """Unknown calls and pages have status 404, on one line."""
    for path in ("/calls/1", "/calls/9999999999999999999", "/calls/x", "/calls/1/secrets", "/static/server.py"):
        answer = client.get(path, headers=JSON)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["message"]


def test_live_events(store: Store, client: httpx.Client) -> None:
    """A page that listens is told immediately, and after each change."""
    with client.stream("GET", "/live") as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: changed"
        samples.plain(store.add)
        assert next(line for line in lines if line.startswith("event:")) == "event: changed"


def test_pages_that_are_open_at_the_end(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Each page is told immediately, including the second one; at the end nothing is logged about them."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client = httpx.Client(headers=headers, trust_env=False, verify=NO_AUTHORITIES, timeout=60)
    followed = list[Iterator[str]]()
    with client, ExitStack() as pages, serving(store.engine) as served:  # which ends first
        for _ in range(2):
            page = pages.enter_context(client.stream("GET", f"{served.address}/live"))
            followed.append(page.iter_lines())
            assert list(islice(filter(None, followed[-1]), 2)) == ["retry: 1000", "event: changed"]
    assert caplog.messages == []


def test_chinese(store: Store, client: httpx.Client) -> None:
    """The pages are in the browser's language."""
    row_id = samples.truncated(store.add)
    headers = {"Accept-Language": "zh-CN,zh;q=0.9"}
    page = client.get("/", headers=headers).text
    assert '<html lang="zh-CN">' in page
    assert "被 max_tokens 截断" in page
    assert "对话" in client.get(f"/calls/{row_id}", headers=headers).text
    assert "其中 3900 个 token 用于推理" in client.get(f"/calls/{row_id}", headers=headers).text


def test_completion(store: Store, client: httpx.Client) -> None:
    """The filter line suggests fields, operators and values, with their meaning in the user's language."""
    samples.plain(store.add)
    document = client.get("/complete", params={"q": "note == '🌙' && catego && id", "at": 18}).json()
    assert document == {"from": 15, "to": 21, "offers": [{"text": "category ", "meaning": "goodcase or badcase"}]}
    document = client.get("/complete", params={"q": "laten"}, headers={"Accept-Language": "zh"}).json()
    assert document["offers"] == [{"text": "latency ", "meaning": "从请求到响应结束的时间"}]
    document = client.get("/complete", params={"q": "stream "}).json()
    assert (document["from"], [each["text"] for each in document["offers"]]) == (7, ["== ", "!= ", "&& ", "|| "])
    query = {"q": "model == 'cl"}
    document = client.get("/complete", params=query, headers={"Accept-Language": "zh"}).json()
    assert document == {"from": 9, "to": 12, "offers": [{"text": "'claude-sonnet-4-5'", "meaning": "1 次调用"}]}
    assert client.get("/complete", params={"q": "", "at": "x"}, headers=JSON).status_code == 400


def test_a_slow_filter_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that takes too long is ended with advice; the next query on its connection has the full time."""
    headers = JSON | {"Authorization": f"Bearer {TOKEN}"}
    with (
        serving(store.engine) as served,
        httpx.Client(base_url=served.address, trust_env=False, verify=NO_AUTHORITIES) as client,
    ):
        monkeypatch.setattr(time_limit, "SECONDS", -1.0)
        monkeypatch.setattr(time_limit, "STEPS", 1)
        result = client.get("/", params={"q": "model ~ 'k*'"}, headers=headers)
        monkeypatch.undo()
        again = client.get("/", headers=headers)
    assert (result.status_code, again.status_code) == (503, 200)
    assert "narrow the filter" in result.json()["error"]["message"]


def test_it_ends_at_once(store: Store) -> None:
    """A slow filter does not delay the end of the console; the store can be used as before."""
    samples.plain(store.add)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    begun = threading.Event()

    def slow(_: object, __: object, statement: str, parameters: object, *___: object) -> tuple[str, object]:
        if "FROM exchanges" not in statement:
            return statement, parameters
        begun.set()
        return endless, ()

    headers = {"Authorization": f"Bearer {TOKEN}"}
    with ThreadPoolExecutor(1) as pool:
        with serving(store.engine) as served:
            event.listen(store.engine, "before_cursor_execute", slow, retval=True)
            asked = pool.submit(httpx.get, f"{served.address}/", headers=headers, trust_env=False, timeout=60)
            assert begun.wait(60)
            started = time.monotonic()
        assert time.monotonic() - started < time_limit.SECONDS / 2
        event.remove(store.engine, "before_cursor_execute", slow)
        assert asked.exception(60) or asked.result().status_code == 503
    assert len(exchanges.latest(store.engine, limit=9)) == 1


def test_pages_in_chinese(store: Store, client: httpx.Client) -> None:
    """Outcomes, warnings and explanations of caches are in the browser's language, with their values."""
    left: dict[str, Any] = {"state": State.CLIENT_DISCONNECTED, "error_kind": "client_disconnected"}
    samples.tool_use(
        store.add, **left, finish_reason=None, warnings=("nothing came from upstream for the last 61.2 s",)
    )
    samples.tool_use(store.add, count="two")
    headers = {"Accept-Language": "zh-CN,zh;q=0.9"}
    for path, text in (
        ("/", "静默 61.2 秒后，你的程序断开了"),
        ("/calls/1/changes", "最后 61.2 秒 API 没有发来任何数据"),
        ("/calls/2/cache", "分歧：第 2 条消息（user）在"),
        ("/overview", "<bdi>客户端断开了</bdi> ×1"),
        ("/compare?call=1&call=2", "静默 61.2 秒后，你的程序断开了"),
        ("/calls/99", "没有编号为 99 的调用"),
        ("/compare?call=1", "请用编号指定两次不同的调用，例如 /compare?call=12&amp;call=13"),
        ("/?q=status_code+==", "表达式：没有写完；这里应该是值（带引号的字符串、数字、true、false 或 NULL）"),
    ):
        assert text in client.get(path, headers=headers).text, path
