"""The table of export formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moonpalace_addons.wire.json_text import JSON_ESCAPES
from moonpalace_cli.export import curl, dataset, events, har, httpie, json_document, openai_batch, python_script, report
from moonpalace_cli.export.unfit import UnfitError

SWITCHING_PROTOCOLS = 101

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call


@dataclass(frozen=True, slots=True)
class Format:
    """An export format: `text` converts a call to text for an output encoding, or raises UnfitError.

    Several calls in one file are written between `opening` and `closing`, separated by `separator`; a single one too if
    `framed`. `kind` selects how it is printed. `timed` formats read the times of events.
    """

    ending: str
    text: Callable[[Call, str], str]
    opening: str = ""
    separator: str = "\n"
    closing: str = ""
    framed: bool = False
    kind: Literal["json", "code", "prose"] = "json"
    timed: bool = False

    def encode(self, text: str) -> bytes:
        """Return the text for a file, with escapes for characters that UTF-8 cannot encode."""
        return text.encode("utf-8", JSON_ESCAPES if self.kind == "json" else "backslashreplace")


def curl_command(call: Call, encoding: str) -> str:
    """Return the documented curl command."""
    return curl.command(call.exchange, call.bodies.request or b"", encoding=encoding)


def over_http(text: Callable[[Call, str], str]) -> Callable[[Call, str], str]:
    """Return a function that rejects calls within a WebSocket, which commands for HTTP cannot repeat."""

    def written(call: Call, encoding: str) -> str:
        if call.exchange.status_code == SWITCHING_PROTOCOLS:
            raise UnfitError("went over a WebSocket, which no command for HTTP can repeat")
        return text(call, encoding)

    return written


FORMATS = {
    "json": Format(".json", json_document.document, "[\n", ",\n", "\n]", timed=True),
    "jsonl": Format(".jsonl", json_document.line, timed=True),
    "curl": Format(".sh", over_http(curl_command), "", "\n\n", kind="code"),
    "python": Format(".py", over_http(python_script.script), "", "\n\n\n", kind="code"),
    "httpie": Format(".sh", over_http(httpie.command), "", "\n\n", kind="code"),
    "har": Format(".har", har.entry, har.OPENING, har.SEPARATOR, har.CLOSING, framed=True, timed=True),
    "openai-batch": Format(".jsonl", openai_batch.line),
    "dataset": Format(".jsonl", dataset.line),
    "events": Format(".jsonl", events.lines, timed=True),
    "report": Format(".md", report.report, "", "\n\n---\n\n", kind="prose"),
}
"""The formats by their names in `--format`."""
