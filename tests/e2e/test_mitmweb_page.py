"""Mitmweb in a real browser: the description of each row, and conversations in place of bytes."""

import itertools
import re
import threading
from collections.abc import Callable

import httpx
from playwright.sync_api import Browser, expect

from moonpalace_cli.mock.scenarios import Times
from tests.e2e.launching import KEY, Launcher, Proxy
from tests.scenarios.server import MockServer

ASKED = "Why is the **sky** blue?"
MESSAGES = [{"role": "user", "content": ASKED}]
FACES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/anthropic/v1/messages": {"messages": MESSAGES, "max_tokens": 4096},
    "/v1/responses": {"input": ASKED},
}
"""The APIs, with a request for each."""
LIMITS = {"mock-length": {"max_tokens": 16}}
ENDED = "(stop|end_turn|completed)"
PAGE = r"http://127\.0\.0\.1:\d+/\?token=\w+"
ROWS = ".flow-table tbody tr:has(td)"
CALLS = {
    "mock-echo": (False, rf"#\d+ mock-echo .*{ENDED}"),
    "mock-length": (True, r"#\d+ mock-length .*cut by max_tokens"),
    "mock-429": (False, r"#\d+ mock-429 .*429"),
    "mock-cut": (True, r"#\d+ mock-cut .*broke off"),
    "mock-repeat": (True, r"#\d+ mock-repeat .*repeat"),
}


def ask(proxy: Proxy, path: str, model: str, *, stream: bool) -> None:
    """Make a call, however it ends."""
    try:
        with proxy.client() as client:
            client.post(path, json={"model": model, "stream": stream} | FACES[path] | LIMITS.get(model, {}))
    except httpx.HTTPError:
        pass  # it was broken off


def test_rows_and_conversations(browser: Browser, launch: Launcher, ports: Callable[[], int]) -> None:
    """Each row shows its call's state, also while it runs; the answer of a stream is shown as a conversation."""
    arguments = ("--web", "--web-port", str(ports()), "--detect-repeat")
    times = Times(loop=0, slow=1.0, headers=0, split=0, reset=0.02)
    with MockServer(times=times) as mock, launch.start(*arguments, endpoint=mock.url) as proxy:
        for path, (model, (stream, _)) in itertools.product(FACES, CALLS.items()):
            ask(proxy, path, model, stream=stream)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto(proxy.log.wait_for(PAGE)[0])
        for path in FACES:
            rows = page.locator(ROWS, has_text=f"{path} ")
            comments = rows.locator(".col-comment")
            for _, said in CALLS.values():
                expect(comments.filter(has_text=re.compile(said))).to_be_visible(timeout=20_000)
            slow = threading.Thread(target=ask, args=(proxy, path, "mock-slow"), kwargs={"stream": True})
            slow.start()
            expect(comments.filter(has_text=re.compile(r"mock-slow .*running"))).to_be_visible(timeout=20_000)
            rows.filter(has_text="mock-length").click()
            page.get_by_role("link", name="Response").click()
            expect(page.get_by_text(re.compile("cut by max_tokens|length|max_")).last).to_be_visible()
            expect(page.locator(".contentview")).not_to_contain_text("data: {")
            slow.join()
            expect(comments.filter(has_text=re.compile(rf"mock-slow .*{ENDED}"))).to_be_visible(timeout=20_000)
        assert page.locator("th.col-comment").bounding_box()["width"] > 300  # type: ignore[index]
        assert KEY not in page.content()
        page.close()
