"""Access to the console's pages and their headers, as seen by programs."""

import re
import socket

import httpx
import pytest

from moonpalace_cli.web.page import HEADERS
from moonpalace_cli.web.server import Served
from tests.authorities import NO_AUTHORITIES
from tests.cli.conftest import Store
from tests.cli.web import samples
from tests.cli.web.serving import TOKEN, serving


def test_the_token_becomes_a_cookie(served: Served) -> None:
    """The first address redirects to the page without the token; the cookie is for this host and not for scripts."""
    with httpx.Client(base_url=served.address, trust_env=False, verify=NO_AUTHORITIES) as browser:
        assert browser.get("/").status_code == 401
        first = browser.get("/", params={"q": "status == 200", "token": TOKEN})
        assert (first.status_code, first.headers["Location"]) == (303, "/?q=status+%3D%3D+200")
        cookie = first.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert browser.get(first.headers["Location"]).status_code == 200
        assert browser.get("/", params={"token": "wrong"}).status_code == 200  # the cookie is enough


def test_a_token_leads_nowhere_else(served: Served) -> None:
    """Not even with two slashes does the first address redirect to another host."""
    with httpx.Client(trust_env=False, verify=NO_AUTHORITIES) as browser:
        result = browser.get(f"{served.address}//attacker.invalid/", params={"token": TOKEN})
    assert not result.headers.get("Location", "/").startswith("//")


def test_a_cookie_survives_a_restart(store: Store) -> None:
    """An open page continues when the console comes back on the same port."""
    with httpx.Client(trust_env=False, verify=NO_AUTHORITIES) as browser:
        with serving(store.engine) as first:
            browser.get(first.url)
            port = int(first.address.rpartition(":")[2])
        with serving(store.engine, port) as second:
            assert browser.get(second.address).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example"}, 421),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/calls/1", "/static/console.js", "/live", "/nothing"])
def test_other_hosts_and_origins(client: httpx.Client, headers: dict[str, str], status: int, path: str) -> None:
    """No page answers another host or origin, even with the token."""
    assert client.get(path, headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/", "/calls/1", "/calls/99", "/static/console.css", "/nothing", "/?q=%28"])
def test_headers_of_every_answer(store: Store, client: httpx.Client, path: str) -> None:
    """Headers of every answer, including errors, forbid browsers to run, frame, guess or cache anything."""
    samples.plain(store.add)
    answer = client.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "Server" not in answer.headers


@pytest.mark.parametrize("path", ["//attacker.invalid/", "/\\\\attacker.invalid/"])
def test_a_refusal_links_nowhere_else(served: Served, path: str) -> None:
    """The link to try again, shown to visitors from another site, leads to the console."""
    with socket.create_connection(("127.0.0.1", int(served.address.rpartition(":")[2])), 30) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        page = client.makefile("rb").read().decode()
    assert " 401 " in page
    assert re.findall(r'href="([^"]*)">try again', page) == ["/attacker.invalid/"]
