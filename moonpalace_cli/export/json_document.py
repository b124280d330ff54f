"""The documented JSON object: indented by four spaces, or as one line of JSON Lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moonpalace_addons.wire.json_text import compact, dumps
from moonpalace_cli.calls.documents import export_document

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call


def document(call: Call, _: str = "") -> str:
    """Return the object of a call, indented."""
    return dumps(export_document(call))


def line(call: Call, _: str = "") -> str:
    """Return the object of a call in one line; numbers and keys keep their spelling."""
    return compact(document(call))


def one_line(value: object) -> str:
    """Return a value as JSON in one line, with characters rather than escapes."""
    return json.dumps(value, ensure_ascii=False)
