"""A call in an export format, at `/calls/ID/export`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.export.destinations import Put, file_stem, joined
from moonpalace_cli.export.formats import FORMATS, Format
from moonpalace_cli.export.running import Plan, export
from moonpalace_cli.redaction.patterns import redactor
from moonpalace_cli.redaction.summary import Summary
from moonpalace_cli.web.call import read_row
from moonpalace_cli.web.page import Page

SUMMARY = "MoonPalace-Redaction"
"""The header for the summary of the redaction: a JSON array of sentences in the language of the user."""
MAX_LINE = 500
"""Maximum characters of a sentence in it."""


class ExportPage(Page):
    """Export a call in a format, redacted unless the address has `redact=no`."""

    async def get(self, row_id: str) -> None:
        """Answer with the file, or with its text if the address has `inline=yes`."""
        name, redact = self.argument("format") or "json", self.argument("redact") or "yes"
        if name not in FORMATS:
            raise MoonPalaceError(f"there is no format {name!r}: write one of {', '.join(FORMATS)}")
        if redact not in ("yes", "no"):
            raise MoonPalaceError("redact is yes or no")
        engine, pattern = self.console.engine, self.console.redact_pattern
        file = await self.read(lambda: exported(engine, int(row_id), name, pattern, redact=redact == "yes"))
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        if file.summary is not None:
            lines = [line[:MAX_LINE] for line in file.summary.lines(self.translate)]  # keys of members may be long
            self.set_header(SUMMARY, json.dumps(lines))
        if self.argument("inline") != "yes":
            self.set_header("Content-Disposition", f'attachment; filename="{file.name}"')
        self.finish(file.data)


@dataclass(frozen=True, slots=True)
class Exported:
    """A file, and the summary of its redaction."""

    name: str
    data: bytes
    summary: Summary | None


def exported(engine: Engine, row_id: int, name: str, pattern: str | None, *, redact: bool) -> Exported:
    """Return the file; raise MoonPalaceError if the call does not fit the format.

    Without redaction a call that seems to contain a secret is refused, like in `mpal export`.
    """
    exchange = read_row(engine, row_id)
    plan = Plan(name, redactor(engine, pattern) if redact else None, shows_summary=False)
    written: list[str] = []
    for _ in export(engine, [row_id], plan, to_list(plan.form, written)):
        pass
    data = plan.form.encode("".join(written))
    return Exported(file_stem(exchange) + plan.form.ending, data, plan.redactor.summary if plan.redactor else None)


@contextmanager
def to_list(form: Format, written: list[str]) -> Iterator[Put]:
    """Write a single call into a list of texts."""
    yield from joined(form, written.append, many=False)
