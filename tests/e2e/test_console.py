"""The console in a browser: hostile calls, hostile pages, and a day's work."""

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import Engine, text

from moonpalace_addons.settings.values import resolve
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import explanations, labels, runs
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_cli.web.server import Served
from tests.cli.conftest import RUN, Store
from tests.cli.web import samples
from tests.cli.web.serving import serving
from tests.exchanges import STARTED
from tests.scenarios.server import MockServer

MAIL = "jane.doe@example.com"
TABS_OF_TEXTS = ("", "/request", "/headers", "/events", "/changes", "/explain")
PICTURES = {"list": ("/", 380), "call": ("/calls/67", 440), "compare": ("/compare?call=64&call=66", 640)}
"""The pictures of the README, with their addresses and heights."""
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"],
    "resultTypes": ["violations"],  # what passes is counted, not described: it is most of a page
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Engine]:
    """Return a store with 500 calls, one of them truncated and one hostile."""
    with opened(empty_store, tmp_path_factory.mktemp("console")) as engine:
        store = Store(engine)
        body = samples.request(
            samples.SYSTEM, samples.message("user", f"{samples.SCRIPT}，发给 {MAIL}"), max_tokens=4096
        )
        samples.truncated(store.add, request=body)
        samples.hostile(store.add)
        samples.tool_use(store.add)
        row_id = samples.plain(store.add)
        copy(engine, row_id, 495)
        whole = body.replace(b"4096", b"8192")
        samples.attempt(store.add, request=whole, started_at=STARTED - timedelta(minutes=1))
        yield engine


@contextmanager
def opened(empty_store: Path, folder: Path) -> Iterator[Engine]:
    """Open a separate empty store."""
    engine = open_store(f"sqlite:///{shutil.copy(empty_store, folder / 'moonpalace.sqlite')}")
    with writing(engine) as connection:
        run = {"id": RUN, "host": "here", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
        runs.begin_run(connection, run)
    yield engine
    engine.dispose()


def copy(engine: Engine, row_id: int, times: int) -> None:
    """Store a call some times more."""
    names = ", ".join(column.name for column in EXCHANGES.c if column.name not in ("id", "uuid"))
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {times})"
    values = f"SELECT lower(hex(randomblob(16))), {names} FROM exchanges, numbers WHERE id = {row_id}"
    with writing(engine) as connection:
        connection.execute(text(f"{numbers} INSERT INTO exchanges (uuid, {names}) {values}"))


@pytest.fixture(scope="module")
def served(engine: Engine, mock: MockServer) -> Iterator[Served]:
    """Serve the store; a model of the mock explains its calls."""
    settings = resolve({}, {"MOONPALACE_HOME": "/nowhere"})
    explain = replace(settings.explain, endpoint=mock.url, model="mock-helper", key="sk-test-0123456789abcdef")
    with serving(engine, settings=replace(settings, explain=explain)) as found:
        yield found


@pytest.fixture(scope="module")
def context(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """Give a browser that has the cookie."""
    found = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    page = found.new_page()
    page.goto(served.url)
    page.close()
    yield found
    found.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Return a new page."""
    found = context.new_page()
    yield found
    found.close()


@pytest.mark.parametrize(
    "path", ["/", "/overview", "/compare?call=2&call=3", *("/calls/2" + tab for tab in TABS_OF_TEXTS)]
)
def test_nothing_of_a_hostile_call_runs(page: Page, served: Served, path: str) -> None:
    """No script of a call runs, nothing is fetched from elsewhere, and no image is an SVG."""
    body: list[str] = []
    page.on("request", lambda request: body.append(request.url))
    page.goto(served.address + path)
    for folded in page.locator("details:not(.menu)").all():
        folded.evaluate("each => each.open = true")
    assert page.evaluate("window.hacked") is None
    assert [url for url in body if not url.startswith((served.address, "data:image/png"))] == []
    assert page.locator("img[src*=svg], main script, main style, main iframe").count() == 0
    links = page.locator("main .turn a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert [link for link in links if link and not link.startswith(("http://", "https://"))] == []


@contextmanager
def attacker(target: str) -> Iterator[str]:
    """Serve a page of another origin on this machine that tries to read and to change calls."""
    script = f"""
        window.found = [];
        const tries = [
          fetch("{target}/calls/1", {{credentials: "include"}}).then((answer) => answer.text()),
          fetch("{target}/calls/1/labels", {{method: "POST", credentials: "include", mode: "no-cors",
                body: new URLSearchParams({{tag: "attacked"}})}}).then(() => ""),
          new Promise((done) => {{
            const each = new Image();
            each.onload = () => done("image");
            each.onerror = () => done("");
            each.src = "{target}/static/icon.svg";
          }}),
        ];
        Promise.allSettled(tries).then((all) => {{
          window.found = all.map((each) => each.value ?? "");
          window.done = true;
        }});
    """
    html = f"<!doctype html><iframe src='{target}/calls/1'></iframe><script>{script}</script>".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_page_of_another_origin(page: Page, served: Served, engine: Engine) -> None:
    """A page on another port of this machine, to which the browser sends the cookie, reads and changes nothing."""
    with attacker(served.address) as address:
        page.goto(address)
        page.wait_for_function("window.done")
        assert page.evaluate("window.found") == ["", "", ""]
    assert labels.tags_of(engine, [1]) == {}


COLOURED = ("/calls/1", "/overview", "/compare?call=2&call=3", "/")
OTHERS = (
    "/calls/3",
    "/calls/1/explain",
    "/explain?q=id+%3C+4",
    "/calls/1/events",
    "/calls/3/request",
    "/?q=status+%3E%3E+1",
    "/compare?call=1&call=500",
)


@pytest.mark.parametrize(
    ("scheme", "paths"), [("light", (*OTHERS, *COLOURED)), ("dark", COLOURED)], ids=["light", "dark"]
)
def test_accessibility(browser: Browser, served: Served, scheme: Any, paths: Sequence[str]) -> None:
    """Axe finds no problem on any page, nor with open completions and menus, nor with dark colours."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(served.url)
    for path in paths:
        page.goto(served.address + path)
        page.evaluate("document.querySelectorAll('.menu, .alike').forEach((each) => (each.open = true))")
        if path == "/":
            page.locator("#q").press_sequentially("mod")
            page.wait_for_selector("#offers li")
            page.keyboard.press("ArrowDown")
        found = Axe().run(page, options=RULES)
        assert found.response["violations"] == [], (path, found.generate_report())
    context.close()


def test_a_model_explains_a_call(page: Page, served: Served, engine: Engine) -> None:
    """A key shows the text that would be sent, the button sends it, and the answer appears automatically."""
    page.goto(f"{served.address}/calls/1")
    page.keyboard.press("e")
    page.get_by_text("What is sent: word for word, to mock-helper").wait_for()
    assert explanations.of_call(engine, 1) == []
    page.get_by_role("button", name="Send it to mock-helper").click()
    page.locator(".md.lines").wait_for()
    assert page.locator("article", has_text="What to change:").get_by_text("mock-helper", exact=True).is_visible()
    (kept,) = explanations.of_call(engine, 1)
    assert page.locator(".md.lines").inner_text() == kept.text


def test_a_model_explains_the_calls_of_a_filter(page: Page, served: Served, engine: Engine) -> None:
    """In the overview the key leads to what these calls have in common, and the answer appears automatically."""
    page.goto(f"{served.address}/overview?q=id+%3E+1+%26%26+id+%3C+4")
    page.keyboard.press("e")
    page.get_by_role("button", name="Send it to mock-helper").click()
    page.locator("article", has_text="about 2 calls").get_by_text("mock-helper", exact=True).wait_for()
    page.keyboard.press("u")
    page.wait_for_url("**/?q=id**")


def test_a_day(page: Page, served: Served, engine: Engine) -> None:
    """Find the truncated call among 500, see why, label it, compare it with its neighbour, and export it redacted."""
    page.goto(served.address)
    page.get_by_role("link", name="cut off").click()
    page.wait_for_url("**/?q=*")  # keys work once it is loaded
    assert page.locator(".calls tbody tr").count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/calls/1?q=*")
    assert "3900 of them were reasoning" in " ".join(page.locator(".why").all_inner_texts())
    page.keyboard.press("b")
    page.wait_for_selector("#bad[aria-pressed=true]")
    page.wait_for_load_state()
    page.keyboard.press("c")
    page.wait_for_url("**/compare?call=500&call=1&q=*")
    limits = page.locator(".parameters tr", has_text="max_tokens")
    assert [limits.locator(each).inner_text() for each in ("del", "ins")] == ["8192", "4096"]
    page.get_by_role("link", name="#1", exact=True).click()
    page.wait_for_url("**/calls/1?*")
    page.locator("summary", has_text="Export").click()
    page.select_option("#format", "report")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    report = Path(download.value.path()).read_text()
    assert "kimi-k2.6" in report
    assert MAIL not in report
    assert page.locator("#redaction").inner_text() == "replaced: 2 accounts, 1 user, 1 e-mail address"
    page.keyboard.press("Escape")
    page.goto(served.address + "/?q=category+%3D%3D+'badcase'")
    assert page.locator("#call-1 .tag").inner_text() == "bad"


def test_the_overview(page: Page, served: Served) -> None:
    """A key leads from a filtered list to its overview, and a bar from there to its calls."""
    page.goto(served.address + "/?q=id+%3C%3D+3")
    page.keyboard.press("o")
    page.wait_for_url("**/overview?q=*")
    page.locator(".numbers summary").click()
    assert page.locator(".numbers tbody tr").count() == 1
    page.locator(".chart a").first.click(position={"x": 2, "y": 50})
    page.wait_for_url("**/?q=id*requested_at*")
    assert page.locator(".calls tbody tr").count() == 3


def test_the_filter_is_completed(page: Page, served: Served) -> None:
    """Fields, operators and values are chosen by the keyboard, and announced; Escape keeps the typed text."""
    page.goto(served.address)
    line = page.locator("#q")
    line.press_sequentially("not mod")
    for word in ("model", "==", "'claude-sonnet-4-5'"):
        page.keyboard.press("ArrowDown")
        option = page.locator("[role=option][aria-selected=true]")
        option.wait_for()
        assert option.inner_text().startswith(word)
        assert line.get_attribute("aria-activedescendant") == option.get_attribute("id")
        page.keyboard.press("Enter")
        page.wait_for_function("word => document.querySelector('#q').value.trim().endsWith(word)", arg=word)
    page.get_by_role("option", name="&&").wait_for()
    page.keyboard.press("Escape")
    assert line.get_attribute("aria-expanded") == "false"
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=not+model+*")
    assert page.locator("#call-1").is_visible()
    assert page.locator("#call-4").count() == 0


def test_two_calls_are_marked(page: Page, served: Served) -> None:
    """Two marked rows lead to their comparison; a third replaces the first."""
    page.goto(served.address)
    button = page.get_by_role("button", name="Compare")
    assert not button.is_visible()
    page.get_by_role("checkbox", name="compare #490").check()
    assert button.is_disabled()
    page.get_by_role("checkbox", name="compare #495").check()
    page.keyboard.press("j")
    page.keyboard.press("c")
    assert button.inner_text() == "Compare #495 #494"
    button.click()
    page.wait_for_url("**/compare?call=495&call=494")


def test_new_calls_appear(page: Page, served: Served, engine: Engine) -> None:
    """A new call appears in the list automatically, if it matches the filter."""
    page.goto(served.address + "/?q=status+%3D%3D+429")
    page.wait_for_selector("#live:not([hidden])")
    row_id = samples.refused(Store(engine).add)
    page.wait_for_selector(f"#call-{row_id}")
    assert page.locator(".calls tbody tr").count() == 1


def test_a_narrow_window(browser: Browser, served: Served) -> None:
    """Nothing in the list or in a call is wider than a phone."""
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(served.url)
    for path in ("/", "/calls/1", "/calls/2", "/calls/3/request", "/compare?call=2&call=3", "/overview"):
        page.goto(served.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    context.close()


def test_pictures(browser: Browser, empty_store: Path, tmp_path: Path) -> None:
    """The pictures of the README are small; MOONPALACE_PICTURES=examples/pictures recreates them."""
    folder = Path(os.environ.get("MOONPALACE_PICTURES") or tmp_path)
    folder.mkdir(exist_ok=True)
    with opened(empty_store, tmp_path) as engine, serving(engine) as served:
        samples.a_day(Store(engine).add)
        for name, (path, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1040, "height": height})
            page.goto(served.url)
            page.goto(served.address + path)
            page.wait_for_load_state()
            page.screenshot(path=folder / f"console-{name}.png")
            page.close()
            assert (folder / f"console-{name}.png").stat().st_size < 100_000
