"""Tests of receivers with servers like the real sites, on real sockets."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.reports import Destination
from moonpalace_cli.mock.certificate import Certificate
from moonpalace_cli.outgoing import http
from moonpalace_cli.reporting.message import Message
from moonpalace_cli.reporting.outcome import InDoubt, Later, Refused, Sent
from moonpalace_cli.reporting.receivers.receiver import Receiver
from moonpalace_cli.reporting.receivers.table import place, receiver
from tests.cli.reporting import servers
from tests.cli.reporting.servers import TOKEN, Asked, Reply, Site, serving
from tests.hostile import HOSTILE, HOSTILE_LINES, assert_quoted
from tests.tables import for_each

MESSAGE = Message(
    "Call: kimi-k3: 429", "## Call\n\n<at>&", "status: 429", '{"metadata": {}}', 13, "chatcmpl-1", marker="ab" * 16
)
MARK = f"<!-- moonpalace-report: {MESSAGE.marker} -->"
LONG_AGO = datetime.now(UTC) - timedelta(days=1)
SECRET = "SEC0123456789abcdef"

ISSUES: Mapping[str, tuple[Callable[[Site, Asked], Reply], str, str]] = {
    "github": (servers.github, "o/r", ""),
    "gitlab": (servers.gitlab, "g/s/p", ""),
    "gitee": (servers.gitee, "o/r", "/api/v5"),
}
CHATS = {"slack": servers.slack, "feishu": servers.feishu, "dingtalk": servers.dingtalk, "webhook": servers.webhook}


def issue(kind: str, site: Site, **options: str) -> Receiver:
    """Return the receiver for the issues of a site."""
    given = {"url": site.url + ISSUES[kind][2], "token": "env:T"} | options
    return receiver(Destination("d", kind, ISSUES[kind][1], given), {"T": TOKEN})


def chat(kind: str, site: Site, **options: str) -> Receiver:
    """Return the receiver for a webhook."""
    return receiver(Destination("d", kind, "env:U", options), {"U": f"{site.url}/hook/path-{TOKEN}?key={TOKEN}"})


@pytest.mark.parametrize("kind", ISSUES)
def test_an_issue(kind: str) -> None:
    """An issue has a title, text, labels and a hidden mark; the answer has its address."""
    with serving(ISSUES[kind][0]) as site:
        assert issue(kind, site, labels="bad case, kimi").send(MESSAGE) == Sent(
            f"{site.url}/{ISSUES[kind][1]}{'/-' * (kind == 'gitlab')}/issues/{'I' * (kind == 'gitee')}1"
        )
        (sent,) = site.arrived
        assert sent["title"] == MESSAGE.title
        assert sent["description" if kind == "gitlab" else "body"] == f"{MESSAGE.text}\n\n{MARK}\n"
        assert sent["labels"] == (["bad case", "kimi"] if kind == "github" else "bad case,kimi")


@pytest.mark.parametrize("kind", ISSUES)
def test_an_issue_is_found_again(kind: str) -> None:
    """The newest issues show whether a report has arrived: among others, and not before."""
    with serving(ISSUES[kind][0]) as site:
        there = issue(kind, site)
        there.send(replace(MESSAGE, marker="0" * 32))
        assert there.find(MESSAGE.marker, LONG_AGO) is None
        there.send(MESSAGE)
        assert there.find(MESSAGE.marker, LONG_AGO) == f"{site.url}/found/2"
        query = site.asked[-1].query
        assert query["state"] == "all"
        assert query.get("since") or query["created_after"]


def test_all_pages_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report is found on a later page; a site with too many issues is an error, as is one that refuses."""
    monkeypatch.setattr("moonpalace_cli.reporting.receivers.issues.PAGE_SIZE", 1)
    monkeypatch.setattr("moonpalace_cli.reporting.receivers.issues.MAX_PAGES", 3)

    def pages(site: Site, asked: Asked) -> Reply:
        page = int(asked.query["page"])
        return Reply(200, [{"body": MARK if page == 2 and site.replies else "", "html_url": f"page {page}"}])

    with serving(pages) as site:
        with pytest.raises(MoonPalaceError, match="GitHub has more than 3 issues"):
            issue("github", site).find(MESSAGE.marker, LONG_AGO)
        site.replies.append(Reply())
        assert issue("github", site).find(MESSAGE.marker, LONG_AGO) == "page 2"
    with serving(servers.github) as site, pytest.raises(MoonPalaceError, match=r"list its issues: 401 Bad") as raised:
        issue("github", site, token="wrong").find(MESSAGE.marker, LONG_AGO)
    assert "wrong" not in str(raised.value)


@pytest.mark.parametrize("kind", CHATS)
def test_a_chat(kind: str) -> None:
    """A chat gets a few lines, with the name as a keyword; plain JSON gets everything, and an idempotency key."""
    with serving(CHATS[kind]) as site:
        assert chat(kind, site).send(MESSAGE) == Sent(chat(kind, site).place)
        (sent,) = site.arrived
        if kind == "webhook":
            assert sent == {
                "id": MESSAGE.marker,
                "title": MESSAGE.title,
                "text": MESSAGE.text,
                "calls": 1,
                "call": {"metadata": {}},
            }
            assert site.asked[0].headers["Idempotency-Key"] == MESSAGE.marker
            return
        text = {"slack": ["text"], "feishu": ["content", "text"], "dingtalk": ["text", "content"]}[kind]
        found: Any = sent
        for name in text:
            found = found[name]
        assert found.startswith("MoonPalace: Call: kimi-k3: 429\nstatus: 429\n")


@pytest.mark.parametrize("kind", CHATS)
def test_captured_text_mentions_nobody(kind: str) -> None:
    """A model's text contains no mention and no link in a chat."""
    hostile = replace(MESSAGE, brief='<!channel> <at user_id="all"></at> <https://evil|click>')
    with serving(CHATS[kind]) as site:
        chat(kind, site).send(hostile)
        sent = json.dumps(site.arrived[0])
        assert kind in ("dingtalk", "webhook") or not {"<!", "<at", "<http"} & {
            sent[at : at + 2] for at in range(len(sent))
        }
        assert kind != "dingtalk" or site.arrived[0]["at"] == {"isAtAll": False}


def signed(key: str, text: str) -> str:
    """Return a signature as the sites' documents describe it."""
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def test_signatures() -> None:
    """Feishu signs an empty text with time and secret as the key, in seconds; DingTalk signs these, in milliseconds."""
    with serving(servers.feishu) as site:
        chat("feishu", site, secret=SECRET).send(MESSAGE)
        sent = site.arrived[0]
        assert abs(int(sent["timestamp"]) - time.time()) < 60
        assert sent["sign"] == signed(f"{sent['timestamp']}\n{SECRET}", "")
    with serving(servers.dingtalk) as site:
        chat("dingtalk", site, secret=SECRET).send(MESSAGE)
        query = site.asked[0].query
        assert query["key"] == TOKEN
        assert abs(int(query["timestamp"]) / 1000 - time.time()) < 60
        assert query["sign"] == signed(SECRET, f"{query['timestamp']}\n{SECRET}")


def test_a_token_for_a_webhook() -> None:
    """A webhook's own token is sent in the usual header."""
    with serving(servers.webhook) as site:
        chat("webhook", site, token=SECRET).send(MESSAGE)
        assert site.asked[0].headers["Authorization"] == f"Bearer {SECRET}"


LIMITED = {"message": "You have exceeded a secondary rate limit"}
HTTP_REPLIES: Mapping[str, tuple[Reply, type, float | None]] = {
    "unauthorized": (Reply(401, {"message": "Bad credentials"}), Refused, None),
    "not found": (Reply(404, {"message": "Not Found"}), Refused, None),
    "gone": (Reply(410, {"message": "Issues are disabled"}), Refused, None),
    "unfit": (Reply(422, {"message": "Validation Failed", "errors": [{"field": "title"}]}), Refused, None),
    "moved": (Reply(307, "", {"Location": "https://elsewhere.example/x"}), Refused, None),
    "too many": (Reply(429, "", {"Retry-After": "7"}), Later, 7),
    "too many, by a date": (Reply(429, "", {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}), Later, 86_400),
    "too many, odd": (Reply(429, "", {"Retry-After": "soon"}), Later, None),
    "unavailable": (Reply(503, "busy"), Later, None),
    "a limit of GitHub": (Reply(403, LIMITED), Later, None),
    "a limit until": (
        Reply(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}),
        Later,
        86_400,
    ),
    "forbidden": (Reply(403, {"message": "Resource not accessible"}), Refused, None),
    "broken": (Reply(500, {"message": "oh"}), InDoubt, None),
    "a gateway": (Reply(502, "<html>"), InDoubt, None),
    "cut": (Reply(broken=True), InDoubt, None),
}


@for_each("name", HTTP_REPLIES)
@for_each("kind", ["github", "slack"])
def test_what_answers_mean(kind: str, name: str) -> None:
    """A refusal, a limit with its time, and an answer after which the report is in doubt."""
    reply, outcome, seconds = HTTP_REPLIES[name]
    with serving(ISSUES[kind][0] if kind in ISSUES else CHATS[kind]) as site:
        site.replies.append(reply)
        result = (issue if kind in ISSUES else chat)(kind, site).send(MESSAGE)
        assert type(result) is outcome
        assert getattr(result, "seconds", None) == seconds
        assert TOKEN not in repr(result)
        assert len(site.posts) == 1


CODES: Mapping[str, tuple[str, dict[str, object], type, float | None]] = {
    "a wrong signature": ("feishu", {"code": 19021, "msg": "sign match fail"}, Refused, None),
    "a limit of Feishu": ("feishu", {"code": 11232, "msg": "frequency limited"}, Later, None),
    "nothing of Feishu": ("feishu", {}, InDoubt, None),
    "no keyword": ("dingtalk", {"errcode": 310000, "errmsg": "keywords not in content"}, Refused, None),
    "a limit of DingTalk": ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, Later, 600),
}


@pytest.mark.parametrize("name", CODES)
def test_errors_with_status_200(name: str) -> None:
    """Feishu and DingTalk say in the body whether they accepted a report."""
    kind, body, outcome, seconds = CODES[name]
    with serving(CHATS[kind]) as site:
        site.replies.append(Reply(200, body))
        result = chat(kind, site).send(MESSAGE)
        assert type(result) is outcome
        assert getattr(result, "seconds", None) == seconds


def test_no_secret_in_what_is_said() -> None:
    """Neither a token repeated by a site, nor the URL of a webhook, is stored or shown."""
    with serving(servers.github) as site:
        site.replies.append(Reply(401, {"message": f"Bad credentials {TOKEN}"}))
        assert issue("github", site).send(MESSAGE) == Refused("127.0.0.1 answers 401: Bad credentials ***")
    with serving(servers.slack) as site:
        there = chat("slack", site)
        site.replies.append(Reply(404, f"no service at {site.url}/hook/path-{TOKEN}?key={TOKEN}"))
        result = there.send(MESSAGE)
        assert TOKEN not in f"{result} {there} {there.place}"
    result = there.send(MESSAGE)  # nobody is there any more
    assert isinstance(result, Later)
    assert TOKEN not in str(result)
    assert place(Destination("d", "slack", f"https://hooks.slack.com/services/{TOKEN}")) == "Slack at hooks.slack.com"


def test_what_a_site_says_is_quoted_with_care() -> None:
    """Its message is one short printable line without any part of a token; so is an address."""
    with serving(servers.github) as site:
        site.replies.append(Reply(201, {"html_url": HOSTILE}))
        created = issue("github", site).send(MESSAGE)
        assert isinstance(created, Sent)
        assert_quoted(created.address)
        site.replies.append(Reply(401, {"message": f"\x1b[2J{'x' * 290} {TOKEN} {'y' * 1_000_000}"}))
        result = issue("github", site).send(MESSAGE)
    assert result == Refused(f"127.0.0.1 answers 401: [2J{'x' * 290} *** yy…")


@pytest.mark.parametrize(
    ("location", "there"), [("http://[", "another path"), (f"http://{'a' * 200}/", "a" * 100 + "…")]
)
def test_a_site_that_sends_elsewhere(location: str, there: str) -> None:
    """A redirection is not followed, and reported in a few words whatever it contains."""
    with serving(servers.slack) as site:
        site.replies.append(Reply(302, "gone", {"Location": location}))
        assert chat("slack", site).send(MESSAGE) == Refused(f"127.0.0.1 answers 302: gone and sends on to {there}")


def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is read and never answered is in doubt; if the connection fails, it was not sent."""
    held = threading.Event()
    with serving(servers.slack) as site:
        site.replies.append(Reply(held=held))
        with pytest.raises(http.NoAnswerError, match=r"was sent the request, but its answer took longer than 0\.2 s"):
            http.send(http.Request("POST", site.url, {}, b"{}"), timeout=0.2)
        held.set()
    monkeypatch.setattr(http, "CONNECT_TIMEOUT", 1)
    with pytest.raises(http.NotSentError, match=r"cannot connect to 127\.0\.0\.1: Connection refused"):
        http.send(http.Request("POST", site.url, {}, b"{}"))


def test_an_answer_that_is_no_http() -> None:
    """Invalid data in place of an answer is quoted in one short line, without secrets."""

    def babble() -> None:
        with listener.accept()[0] as client:
            client.recv(65_536)
            client.sendall(f"{HOSTILE_LINES[:5_000]}\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(http.NoAnswerError) as raised:
            http.send(http.Request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()
    assert_quoted(str(raised.value))


@pytest.mark.parametrize("head", [b"", b"Content-Length: 900\r\n"])
def test_an_answer_that_takes_too_long(head: bytes) -> None:
    """An answer that arrives byte by byte ends at the total time limit."""
    ended = threading.Event()

    def drip() -> None:
        with listener.accept()[0] as client, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
            for _ in range(250):
                client.sendall(b" ")
                if ended.wait(0.02):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(http.NoAnswerError, match=r"its answer took longer than 0\.2 s"):
            http.send(http.Request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}"), timeout=0.2)
        assert thread.is_alive()
        ended.set()
        thread.join()


def test_certificates_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with an untrusted certificate gets nothing; one with a trusted certificate gets the report."""
    certificate = Certificate()
    try:
        with serving(servers.slack, certificate.context()) as site:
            result = chat("slack", site).send(MESSAGE)
            assert isinstance(result, Later)
            assert "its certificate is not trusted" in result.reason
            assert site.asked == []
            monkeypatch.setenv("SSL_CERT_FILE", certificate.ca_file)
            assert isinstance(chat("slack", site).send(MESSAGE), Sent)
    finally:
        certificate.close()


def test_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY gets the full URL; the message about a missing proxy names the variable, not the password."""
    with serving(servers.slack) as site:
        monkeypatch.setenv("HTTP_PROXY", site.url.replace("//", f"//me:{SECRET}@"))
        answer = http.send(http.Request("POST", "http://chat.example/x?y=1", {}, b'{"text": "t"}'))
        assert (answer.status, answer.body) == (200, b'"ok"'[1:-1])
        assert site.asked[0].path == "http://chat.example/x?y=1"
        assert site.asked[0].headers["Host"] == "chat.example"
        password = base64.b64encode(f"me:{SECRET}".encode()).decode()
        assert site.asked[0].headers["Proxy-Authorization"] == f"Basic {password}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@127.0.0.1:1")
    with pytest.raises(http.NotSentError, match="by way of the proxy in HTTPS_PROXY: Connection refused") as raised:
        http.send(http.Request("GET", "https://chat.example/"))
    assert SECRET not in str(raised.value)
    with serving(servers.slack) as site:  # which knows no CONNECT
        monkeypatch.setenv("HTTPS_PROXY", site.url)
        with pytest.raises(http.NotSentError, match="in HTTPS_PROXY: Tunnel connection failed: 501"):
            http.send(http.Request("GET", "https://chat.example/"))
