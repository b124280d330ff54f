"""The script and the style sheet, which anybody may see."""

from __future__ import annotations

from functools import cache

from moonpalace_cli.web.page import Page, RefusedError
from moonpalace_cli.web.templating import FOLDER

TYPES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


class StaticPage(Page):
    """Give a file that has nothing of the store in it."""

    def prepare(self) -> None:
        """Refuse only other hosts and origins."""
        self.check_origin()

    def get(self, name: str) -> None:
        """Answer with the file."""
        if name not in TYPES:
            raise RefusedError(404, f"there is no page {self.request.path[:200]}")
        self.set_header("Content-Type", f"{TYPES[name]}; charset=UTF-8")
        self.finish(content(name))


@cache
def content(name: str) -> bytes:
    """Return the content of a file."""
    return (FOLDER / "static" / name).read_bytes()


class MissingPage(Page):
    """Say that there is no such page."""

    def get(self) -> None:
        """Answer with status 404."""
        raise RefusedError(404, f"there is no page {self.request.path[:200]}")

    post = put = delete = get
