"""Replace images, sounds and files inside messages by placeholders."""

import json
import re
from collections.abc import Mapping

from moonpalace_addons.wire.json_text import reindent
from moonpalace_addons.wire.json_value import mapping

DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]*)[^,]{0,200}?(?P<base64>;base64)?,", re.ASCII)
DATA = re.compile(r""""data:[^"\\]*(?:\\.[^"\\]*)*"(?!\s*:)""")
"""A JSON string, but not a key, that contains a `data:` URL."""
SHOWN = 200
"""Maximum characters of an address that are shown."""
KINDS = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "video_url": "video",
    "input_audio": "audio",
    "document": "document",
    "input_file": "file",
    "file": "file",
}
"""The name of the medium for each type of block."""


def placeholder(block: Mapping[str, object]) -> str | None:
    """Return the placeholder of a media block: its type and size, or its address.

    Return None for any other block.
    """
    kind = str(block.get("type") or "")
    if kind and kind not in KINDS:
        return None
    source = next((mapping(block[name]) or {"url": block[name]} for name in (kind, "source") if block.get(name)), block)
    medium = KINDS.get(kind, "data")
    for name in ("url", "image_url", "file_data", "file_uri"):
        if isinstance(url := source.get(name), str):
            return from_url(medium, url)
    if isinstance(data := source.get("data"), str):
        return f"[{source.get('media_type') or source.get('format') or medium}, {size(decoded(data))}]"
    if isinstance(file := source.get("file_id") or source.get("filename"), str):
        return f"[{medium} {file}]"
    return f"[{medium}]" if kind else None


def from_url(medium: str, url: str) -> str:
    """Return the placeholder of an address; for a `data:` URL, its type and size."""
    match = DATA_URL.match(url)
    if match is None:
        return f"[{medium} {url[:SHOWN]}{'…' if len(url) > SHOWN else ''}]"
    data = url[match.end() :]
    return f"[{match['type'] or medium}, {size(decoded(data) if match['base64'] else len(data))}]"


def decoded(data: str) -> int:
    """Return the decoded size of a base64 text."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def size(number: int) -> str:
    """Format a number of bytes for people."""
    if number < 1000:
        return f"{number} bytes"
    return f"{number / 1000:.1f} kB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"


def as_json(value: object) -> str:
    """Format the value as indented JSON, with placeholders for long strings of data."""
    # On the text, because nesting may be deeper than recursion allows.
    return reindent(DATA.sub(named_data, json.dumps(value, ensure_ascii=False, default=str)))


def named_data(string: re.Match[str]) -> str:
    """Return a placeholder, in quotes, for a string with a `data:` URL; return any other string unchanged."""
    url = json.loads(string[0])
    return json.dumps(placeholder({"url": url}), ensure_ascii=False) if DATA_URL.match(url) else string[0]
