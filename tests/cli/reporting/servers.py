"""Servers like GitHub, GitLab, Gitee, Slack, Feishu and DingTalk, on local sockets.

A server answers like its site, or as a test has set it up: with an error, late, or not at all.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "glpat-Secret0123456789abcdef"
"""The token that the servers accept; none of our messages may contain it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A received request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def query(self) -> dict[str, str]:
        """Return the query."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `kept` says whether the report is stored.

    With `broken` the connection ends without an answer; `held` is waited for before anything is sent.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: bool = False
    broken: bool = False
    held: threading.Event | None = None


@dataclass(slots=True)
class Site:
    """A site: its answers, the requests it received, and the reports that arrived.

    `replies` come before its own answers.
    """

    url: str
    answers: Callable[[Site, Asked], Reply]
    asked: list[Asked] = field(default_factory=list)
    arrived: list[dict[str, Any]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def reply(self, asked: Asked) -> Reply:
        """Return the answer to a request."""
        self.asked.append(asked)
        proper = self.answers(self, asked)
        reply = self.replies.pop(0) if self.replies and asked.method == "POST" else proper
        if asked.method == "POST" and (reply is proper or reply.kept) and proper.status // 100 == 2:
            self.arrived.append(asked.body)
        self.came.set()
        return reply

    @property
    def posts(self) -> list[Asked]:
        """Return the requests that send something."""
        return [each for each in self.asked if each.method == "POST"]


@contextmanager
def serving(answers: Callable[[Site, Asked], Reply], context: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve a site while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.take()

        def do_POST(self) -> None:
            self.take()

        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, dict(self.headers.items()), json.loads(body) if body else None)
            reply = site.reply(asked)
            if reply.held is not None:
                reply.held.wait(60)
            if reply.broken:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Ignore killed clients."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        site = Site(f"{scheme}://127.0.0.1:{server.server_port}", answers)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def github(site: Site, asked: Asked) -> Reply:
    """Answer like GitHub."""
    if asked.headers.get("Authorization") != f"Bearer {TOKEN}":
        return Reply(401, {"message": f"Bad credentials {TOKEN}", "documentation_url": "https://docs.github.com/rest"})
    if urlsplit(asked.path).path != "/repos/o/r/issues":
        return Reply(404, {"message": "Not Found"})
    if asked.method == "GET":
        return Reply(200, listed(site, "body", "html_url"))
    return Reply(201, {"number": 1, "html_url": f"{site.url}/o/r/issues/{len(site.arrived) + 1}"})


def gitlab(site: Site, asked: Asked) -> Reply:
    """Answer like GitLab."""
    if asked.headers.get("PRIVATE-TOKEN") != TOKEN:
        return Reply(401, {"message": "401 Unauthorized"})
    if unquote(urlsplit(asked.path).path) != "/api/v4/projects/g/s/p/issues":
        return Reply(404, {"message": "404 Project Not Found"})
    if asked.method == "GET":
        return Reply(200, listed(site, "description", "web_url"))
    return Reply(201, {"iid": 1, "web_url": f"{site.url}/g/s/p/-/issues/{len(site.arrived) + 1}"})


def gitee(site: Site, asked: Asked) -> Reply:
    """Answer like Gitee: its POST names the owner in the path, the repository and the token in the body."""
    path = urlsplit(asked.path).path
    if asked.method == "GET":
        is_right = path == "/api/v5/repos/o/r/issues"
        return (
            Reply(200, listed(site, "body", "html_url")) if is_right else Reply(404, {"message": "Not Found Project"})
        )
    if asked.body.get("access_token") != TOKEN:
        return Reply(401, {"message": "401 Unauthorized: Access token does not exist"})
    if path != "/api/v5/repos/o/issues" or asked.body.get("repo") != "r":
        return Reply(404, {"message": "Not Found Project"})
    return Reply(201, {"number": "I1", "html_url": f"{site.url}/o/r/issues/I{len(site.arrived) + 1}"})


def listed(site: Site, text: str, address: str) -> list[dict[str, object]]:
    """Return the issues of a site, newest first."""
    results = [{text: each[text], address: f"{site.url}/found/{number}"} for number, each in enumerate(site.arrived, 1)]
    return results[::-1]


def slack(site: Site, asked: Asked) -> Reply:
    """Answer like Slack: in plain text."""
    del site
    return Reply(200, "ok") if asked.body.get("text") else Reply(400, "no_text")


def feishu(site: Site, asked: Asked) -> Reply:
    """Answer like Feishu: errors have status 200."""
    del site
    if asked.body.get("msg_type") != "text":
        return Reply(200, {"code": 9499, "msg": "Bad Request", "data": {}})
    return Reply(200, {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"})


def dingtalk(site: Site, asked: Asked) -> Reply:
    """Answer like DingTalk: errors have status 200."""
    del site
    if asked.body.get("msgtype") != "text":
        return Reply(200, {"errcode": 40035, "errmsg": "缺少参数 json"})
    return Reply(200, {"errcode": 0, "errmsg": "ok"})


def webhook(site: Site, asked: Asked) -> Reply:
    """Accept everything."""
    del site, asked
    return Reply(204, "")
