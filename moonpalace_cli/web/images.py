"""Images of messages that a page may show: those within the message itself, in formats without scripts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from moonpalace_addons.wire.json_value import mapping

MAX_SIZE = 8_000_000
"""Maximum characters of an image in base64."""
DATA = re.compile(r"data:image/[a-z+.-]{1,20};base64,", re.IGNORECASE)
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"RIFF": "image/webp",
}
"""The formats by the first bytes of their files; the declared type is ignored. SVG can contain scripts."""


def source(block: Mapping[str, object]) -> str | None:
    """Return a `data:` URL for a block of a message; None unless it contains an image that may be shown."""
    text = base64_of(block)
    if text is None or len(text) > MAX_SIZE:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    kind = next((kind for beginning, kind in SIGNATURES.items() if data.startswith(beginning)), None)
    if kind is None or (kind == "image/webp" and data[8:12] != b"WEBP"):
        return None
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def base64_of(block: Mapping[str, object]) -> str | None:
    """Return the base64 of an image on any face; None for an external address, which is not fetched."""
    for holder in (block, mapping(block.get("image_url")), mapping(block.get("source"))):
        for name in ("url", "image_url", "data"):
            value = holder.get(name)
            if isinstance(value, str) and (match := DATA.match(value)):
                return value[match.end() :]
            if name == "data" and isinstance(value, str) and not value.startswith("data:"):
                return value
    return None
