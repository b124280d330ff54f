"""The base of all pages: access, security headers, and the form of an answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tornado.web import Finish, HTTPError, RequestHandler

from moonpalace_addons.errors import MoonPalaceError, NotFoundError, StoreError
from moonpalace_cli.web.console import Console
from moonpalace_cli.web.templating import templates
from moonpalace_cli.web.texts import Translate, language, translator
from moonpalace_cli.web.time_limit import is_out_of_time

if TYPE_CHECKING:
    from types import TracebackType

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""No inline scripts, no external resources, no frames, and no HTML from texts: a script in an answer cannot run."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no referrer, browsers send the origin of our own forms as null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept, Accept-Language, Cookie",
}
logger = logging.getLogger("moonpalace.web")

STATUSES = ((NotFoundError, 404), (StoreError, 503))
"""The statuses of our errors; all others are mistakes of the client."""

type Document = Mapping[str, object] | str
"""The data of a page for programs: a JSON object, or its text."""


class RefusedError(MoonPalaceError):
    """A refused request, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Page(RequestHandler):
    """A page that only the owner of the token may see."""

    console: Console

    def initialize(self, console: Console) -> None:
        """Store the console that all pages share."""
        self.console = console

    def set_default_headers(self) -> None:
        """Set the headers of every answer, including errors."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """Return None: browsers must not cache answers."""

    def prepare(self) -> None:
        """Refuse unauthorized requests; exchange a token in the address for a cookie."""
        self.check_origin()
        access, headers = self.console.access, self.request.headers
        token = self.get_query_argument("token", None)
        if token is not None and self.request.method == "GET" and access.admits(token):
            self.let_in()
        if not (access.is_bearer(headers) or access.knows(self.get_cookie(self.console.cookie))):
            raise RefusedError(
                401, "open the console by the address with a token that mpal web, or mpal start, printed"
            )

    def check_origin(self) -> None:
        """Refuse requests to another host, and from pages of another origin."""
        if refusal := self.console.access.refusal(self.request.method or "", self.request.headers):
            raise RefusedError(refusal.status, refusal.reason)

    def let_in(self) -> None:
        """Set a cookie, and redirect to the same address without the token."""
        self.set_cookie(self.console.cookie, self.console.access.cookie(), path="/", httponly=True, samesite="Strict")
        others = [(name, each) for name, values in self.request.query_arguments.items() for each in values]
        query = urlencode([pair for pair in others if pair[0] != "token"])
        self.redirect(self.here + (f"?{query}" if query else ""), status=303)
        raise Finish

    @property
    def here(self) -> str:
        """The path of this page as an address; two leading slashes, or similar, would name another host."""
        return "/" + self.request.path.lstrip("/\\")

    @cached_property
    def wants_json(self) -> bool:
        """Return whether the client is a program."""
        accepted = self.request.headers.get("Accept", "")
        return "application/json" in accepted and "text/html" not in accepted

    @cached_property
    def language(self) -> str:
        """Return the language of the user."""
        return language(self.request.headers.get("Accept-Language", ""))

    @cached_property
    def translate(self) -> Translate:
        """Return the function that translates our own texts."""
        return translator(self.language)

    async def read[T](self, function: Callable[[], T]) -> T:
        """Run a blocking function in a thread; turn an error of the database into one line."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return await asyncio.get_running_loop().run_in_executor(self.console.executor, function)
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            if is_out_of_time(cause):
                raise StoreError(self.console.limit.reason) from error
            raise StoreError(f"the database refuses: {str(cause).strip().splitlines()[0]}") from error

    def argument(self, name: str) -> str:
        """Return an argument of the address; empty if it is missing."""
        return self.get_query_argument(name, "") or ""

    def fields(self) -> dict[str, str]:
        """Return the fields of the form, or of a JSON object."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            return {name: self.get_body_argument(name) for name in self.request.body_arguments}
        try:
            parsed = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise MoonPalaceError("the body is not JSON") from error
        if not isinstance(parsed, dict) or not all(isinstance(value, str) for value in parsed.values()):
            raise MoonPalaceError("the body must be a JSON object whose members are texts")
        return parsed

    def give_json(self, document: Document) -> None:
        """Answer with JSON."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
        self.finish(text.encode("utf-8", "backslashreplace") + b"\n")

    def give_page(self, template: str, **values: object) -> None:
        """Answer with a page."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        page = templates().get_template(template)
        shared = {
            "_": self.translate,
            "language": self.language,
            "store": self.console.name,
            "section": "",
            "explains": self.console.explainer is not None,
        }
        self.finish(page.render(shared | values))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; our own errors have their own statuses."""
        error = error_of(kwargs)
        if isinstance(error, RefusedError):
            status_code = error.status
        elif isinstance(error, MoonPalaceError):
            status_code = next((status for kind, status in STATUSES if isinstance(error, kind)), 400)
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Describe the error in one line."""
        error = error_of(kwargs)
        message = str(error) if isinstance(error, MoonPalaceError) else self._reason
        if status_code == 500:
            message = "something went wrong: see the log of mpal web or mpal start"
        position = getattr(error, "position", None)
        members = {"message": message} | ({} if position is None else {"position": position})
        if self.wants_json:
            self.give_json({"error": members})
        else:
            self.give_page("error.html", status=status_code, message=message, here=self.here)

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log any exception that is not the client's mistake, without the address, which may contain the token."""
        if not isinstance(value, MoonPalaceError | HTTPError):
            logger.error("%s %s failed", self.request.method, self.request.path, exc_info=value)


def error_of(arguments: dict[str, Any]) -> BaseException | None:
    """Return the exception among the arguments of `send_error`."""
    info = arguments.get("exc_info")
    return info[1] if isinstance(info, tuple) else None
