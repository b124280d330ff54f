"""The script and the style sheet, which anybody may load."""

from __future__ import annotations

from moonpalace_cli.web.page import Page, RefusedError
from moonpalace_cli.web.static_files import TYPES, content, version


class StaticPage(Page):
    """Return a file, which contains nothing from the store."""

    def prepare(self) -> None:
        """Refuse only other hosts and origins."""
        self.check_origin()

    def get(self, name: str) -> None:
        """Answer with the file; browsers cache it, since the keys work only once a page has its script."""
        if name not in TYPES:
            raise RefusedError(404, f"there is no page {self.request.path[:200]}")
        self.set_header("Content-Type", f"{TYPES[name]}; charset=UTF-8")
        if self.request.query == version(name):
            self.set_header("Cache-Control", "max-age=31536000, immutable")
            self.clear_header("Vary")
        self.finish(content(name))


class MissingPage(Page):
    """The page for unknown addresses."""

    def get(self) -> None:
        """Answer with status 404."""
        raise RefusedError(404, f"there is no page {self.request.path[:200]}")

    post = put = delete = get
