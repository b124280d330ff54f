"""Files in a folder: the report, and next to it the call's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.wire.json_text import JSON_ESCAPES
from moonpalace_cli.export.files import write_over
from moonpalace_cli.reporting.outcome import Later, Outcome, Sent

if TYPE_CHECKING:
    from moonpalace_cli.reporting.message import Message


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder; a report's files are named after its call and its marker, so that none is written twice."""

    path: Path

    can_find = True

    @property
    def place(self) -> str:
        """Return its name for people."""
        return f"the folder {self.path}"

    def send(self, message: Message) -> Outcome:
        """Write each file atomically; the report, which marks the set as complete, comes last."""
        file = self.path / f"{message.stem}.md"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_over(file.with_suffix(".json"), message.document.encode("utf-8", JSON_ESCAPES))
            text = f"# {message.title}\n\n{message.text}\n\n<!-- moonpalace-report: {message.marker} -->\n"
            write_over(file, text.encode("utf-8", "backslashreplace"))
        except (OSError, MoonPalaceError) as error:
            return Later(f"cannot write into {self.path}: {getattr(error, 'strerror', None) or error}")
        return Sent(str(file))

    def find(self, marker: str, since: datetime) -> str | None:
        """Return the path of a report that was written."""
        del since
        return next((str(file) for file in self.path.glob(f"*-{marker[:8]}.md")), None)
