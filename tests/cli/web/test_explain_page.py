"""The page that explains a call: exactly the shown text is sent, and nothing without confirmation."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from moonpalace_addons.settings.values import resolve
from moonpalace_addons.store.records import exchanges, explanations
from moonpalace_cli.web import explainer
from tests.cli.conftest import Store
from tests.cli.web import samples
from tests.cli.web.serving import TOKEN, serving
from tests.waiting import until

JSON = {"Accept": "application/json"}
TEXT = "It was refused.\nTry **again** <script>window.hacked=1</script> [x](javascript:hack) later."
REFUSAL = json.dumps({"error": {"type": "server_error", "message": "out of <b>order</b>"}}).encode()


@dataclass
class Model:
    """A model on a socket: the requests it got, and its answer once `may_end` is set."""

    url: str
    asked: list[bytes] = field(default_factory=list)
    may_end: threading.Event = field(default_factory=threading.Event)
    status: int = 200


def event(content: str | None, reason: str | None = None, **more: str) -> bytes:
    """Return an event of a stream."""
    delta = ({} if content is None else {"content": content}) | more
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": choices}).encode() + b"\n\n"


@pytest.fixture
def model() -> Iterator[Model]:
    """Return a model that sends its reasoning and the first half immediately."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(found.status)
            self.send_header("Content-Type", "text/event-stream" if found.status == 200 else "application/json")
            self.end_headers()
            if found.status != 200:
                self.wfile.write(REFUSAL)
                return
            self.wfile.write(event(None, reasoning_content="Hmm.") + event(TEXT[:20]))
            self.wfile.flush()
            assert found.may_end.wait(60)
            self.wfile.write(event(TEXT[20:], "stop") + b"data: [DONE]\n\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Model(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield found
    found.may_end.set()
    server.shutdown()
    server.server_close()


@contextmanager
def client_of(store: Store, home: Path, explain: str) -> Iterator[httpx.Client]:
    """Serve a store with these settings; return a client with the token."""
    file = home / "config.yaml"
    file.write_text(f"explain: {explain}\n", encoding="utf-8")
    settings = resolve({}, {"MOONPALACE_HOME": str(home)})
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"}
    with (
        serving(store.engine, settings=settings) as served,
        httpx.Client(base_url=served.address, headers=headers, trust_env=False) as found,
    ):
        yield found


@pytest.fixture
def client(store: Store, tmp_path: Path, model: Model) -> Iterator[httpx.Client]:
    """Return a console whose calls the model explains, with a refused call."""
    samples.refused(store.add)
    with client_of(store, tmp_path / "home", f"{{endpoint: '{model.url}', model: m}}") as found:
        yield found


def proposal(page: httpx.Response) -> dict[str, str]:
    """Return the form of a page that sends the shown text."""
    match = re.search(r'name="proposal" value="([^"]+)"', page.text)
    assert match, page.text
    return {"proposal": match[1], "q": ""}


def is_idle(client: httpx.Client) -> bool:
    """Return whether no request is running."""
    state: str = client.get("/calls/1/explain", headers=JSON).json()["state"]
    return state != "asking"


def test_what_is_shown_is_sent(store: Store, client: httpx.Client, model: Model) -> None:
    """Viewing sends nothing; the button sends the page's text, whose answer grows, is stored, and is shown."""
    page = client.get("/calls/1/explain")
    assert model.asked == []
    shown = html.unescape(re.findall(r'<pre class="text" tabindex="0">(.*?)</pre>', page.text, re.DOTALL)[0])
    assert "engine is currently overloaded" in shown
    sent = client.post("/calls/1/explain", data=proposal(page))
    assert (sent.status_code, sent.headers["Location"]) == (303, "/calls/1/explain")
    until(lambda: client.get("/calls/1/explain", headers=JSON).json().get("text"))
    coming = client.get("/calls/1/explain", headers=JSON).json()
    assert coming == {"state": "asking", "text": TEXT[:20], "thought": 4}
    running = client.get("/calls/1/explain").text
    assert "data-asking" in running
    assert 'name="proposal"' not in running
    model.may_end.set()
    until(lambda: is_idle(client))
    body = json.loads(model.asked[0])
    assert shown == f"system: {body['messages'][0]['content']}\n\nuser: {body['messages'][1]['content']}"
    (kept,) = explanations.of_call(store.engine, 1)
    assert (kept.text, kept.model, kept.language) == (TEXT, "m", "English")
    assert exchanges.latest(store.engine, limit=1)[0].purpose == "explain"
    after = client.get("/calls/1/explain")
    assert "<strong>again</strong>" in after.text
    assert "<script>window" not in after.text
    assert 'href="javascript' not in after.text
    assert len(model.asked) == 1
    assert "Explanation <small>1</small>" in client.get("/calls/1").text


def test_a_text_is_sent_once(client: httpx.Client, model: Model) -> None:
    """Sent twice at the same time it is one request; later, for another call, or forged, it is refused."""
    samples_of = proposal(client.get("/calls/1/explain"))
    assert [client.post("/calls/1/explain", data=samples_of).status_code for _ in range(2)] == [303, 303]
    model.may_end.set()
    until(lambda: is_idle(client))
    fresh = proposal(client.get("/calls/1/explain"))
    for path, form in (("/calls/1/explain", samples_of), ("/calls/2/explain", fresh), ("/calls/1/explain", {})):
        refused = client.post(path, data=form)
        assert (refused.status_code, "sent already, or was shown too long ago" in refused.text) == (409, True)
    assert len(model.asked) == 1


def test_a_question_and_a_language(store: Store, client: httpx.Client, model: Model) -> None:
    """A question is part of the text, without its secrets; the answer is in the browser's language."""
    model.may_end.set()
    headers = {"Accept-Language": "zh-TW,en;q=0.5"}
    question = {"question": "Why? sk-0123456789abcdefghij0123"}
    page = client.get("/calls/1/explain", params=question, headers=headers)
    assert "Answer this question of the programmer about the record: Why? " in page.text
    client.post("/calls/1/explain", data=proposal(page))
    until(lambda: is_idle(client))
    (kept,) = explanations.of_call(store.engine, 1)
    assert kept.language == "Chinese (traditional characters)"
    assert kept.question is not None
    assert "sk-0123456789" not in f"{kept.question}{model.asked}"


def test_a_model_that_fails(store: Store, client: httpx.Client, model: Model) -> None:
    """The page shows the error, escaped; nothing is stored, and the text can be sent again."""
    model.status = 500
    client.post("/calls/1/explain", data=proposal(client.get("/calls/1/explain")))
    until(lambda: is_idle(client))
    failed = client.get("/calls/1/explain", headers=JSON).json()
    assert failed["state"] == "failed"
    assert failed["error"].startswith("m at http://127.0.0.1:")
    page = client.get("/calls/1/explain")
    assert "out of &lt;b&gt;order&lt;/b&gt;; nothing was kept" in page.text
    assert explanations.of_call(store.engine, 1) == []
    assert proposal(page)


def test_too_many_at_once(client: httpx.Client, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request too many is refused, and can be sent later."""
    monkeypatch.setattr(explainer, "MAX_UNDER_WAY", 0)
    form = proposal(client.get("/calls/1/explain"))
    refused = client.post("/calls/1/explain", data=form, headers=JSON)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "0 explanations are under way: wait until one has finished",
    )
    monkeypatch.setattr(explainer, "MAX_UNDER_WAY", 1)
    assert client.post("/calls/1/explain", data=form, headers=JSON).json() == {"state": "asking"}
    model.may_end.set()
    until(lambda: is_idle(client))


def test_what_cannot_be_explained(store: Store, tmp_path: Path) -> None:
    """Without a key, and while a call is in flight, the page says so and offers nothing."""
    samples.refused(store.add)
    samples.running(store.add)
    with client_of(store, tmp_path / "home", "{tokens: 4000}") as client:
        page = client.get("/calls/1/explain")
        assert "kimi-k3 at https://api.moonshot.cn needs a key: start the console with the variable" in page.text
        assert 'name="proposal"' not in page.text
        assert client.get("/calls/9/explain").status_code == 404
    with client_of(store, tmp_path / "home", "{endpoint: 'http://127.0.0.1:9'}") as client:
        assert "call 2 is still under way" in client.get("/calls/2/explain").text


def test_nothing_is_sent_by_another_page(client: httpx.Client, model: Model) -> None:
    """A form of another origin is refused, even with the name of the text."""
    form = proposal(client.get("/calls/1/explain"))
    refused = client.post("/calls/1/explain", data=form, headers={"Origin": "http://attacker.example"})
    assert (refused.status_code, model.asked) == (403, [])


def test_what_calls_have_in_common(store: Store, client: httpx.Client, model: Model) -> None:
    """The calls that match a filter are explained together, from the overview; the page shows what is sent."""
    model.may_end.set()
    samples.refused(store.add)
    samples.plain(store.add)
    query = {"q": "status_code == 429"}
    assert 'href="/explain?q=status_code+%3D%3D+429"' in client.get("/overview", params=query).text
    assert 'id="explain"' not in client.get("/overview").text
    page = client.get("/explain", params=query)
    assert "Explain what these calls have in common" in page.text
    assert "2 calls match" in page.text
    assert model.asked == []
    sent = client.post("/explain", data=proposal(page) | query)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/explain?q=status_code+%3D%3D+429")
    until(lambda: client.get("/explain", params=query, headers=JSON).json()["state"] != "asking")
    (body,) = map(json.loads, model.asked)
    assert body["messages"][1]["content"] in html.unescape(page.text)
    document = client.get("/explain", params=query, headers=JSON).json()
    assert (document["calls"], [each["calls"] for each in document["explanations"]]) == (2, [2])
    assert [len(explanations.of_call(store.engine, row)) for row in (1, 2, 3)] == [1, 1, 0]
    samples.refused(store.add)
    assert "about 2 calls" in client.get("/explain", params=query).text


def test_a_filter_with_one_call(client: httpx.Client, model: Model) -> None:
    """Earlier questions about the call, asked on its own page, are shown."""
    model.may_end.set()
    query = {"q": "id == 1"}
    client.post("/explain", data=proposal(client.get("/explain", params=query)) | query)
    until(lambda: client.get("/explain", params=query, headers=JSON).json()["state"] != "asking")
    client.post("/calls/1/explain", data=proposal(client.get("/calls/1/explain")))
    until(lambda: is_idle(client))
    document = client.get("/explain", params=query, headers=JSON).json()
    assert (document["calls"], [each["calls"] for each in document["explanations"]]) == (1, [1, 1])
    assert "<strong>again</strong>" in client.get("/explain", params=query).text


@pytest.mark.parametrize(
    ("query", "message"), [("", "give a filter"), ("id > 99", "no call matches"), ("status_code ==", "expected")]
)
def test_no_calls_to_explain(client: httpx.Client, query: str, message: str) -> None:
    """Without a filter, calls, or a valid predicate there is nothing to explain, and the page says so."""
    result = client.get("/explain", params={"q": query}, headers=JSON)
    assert (result.status_code, message in result.json()["error"]["message"]) == (400, True)


def test_a_text_about_other_calls(client: httpx.Client, model: Model) -> None:
    """The text for a call, or for one filter, is not sent for another."""
    one, group = client.get("/calls/1/explain"), client.get("/explain?q=id+>+0")
    for path, form in (
        ("/explain", proposal(one) | {"q": "id > 0"}),
        ("/explain", proposal(group) | {"q": "id > 1"}),
        ("/calls/1/explain", proposal(group)),
    ):
        assert client.post(path, data=form).status_code == 409
    assert model.asked == []
