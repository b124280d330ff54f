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
"""Characters of an address."""
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
"""The media of block types."""


def placeholder(block: Mapping[str, object]) -> str | None:
    """Return the placeholder of a media block: its type and size, or its address.

    Return None for any other block.
    """
    kind = str(block.get("type") or "")
    if kind and kind not in KINDS:
        return None
    held = next((mapping(block[name]) or {"url": block[name]} for name in (kind, "source") if block.get(name)), block)
    what = KINDS.get(kind, "data")
    for name in ("url", "image_url", "file_data", "file_uri"):
        if isinstance(url := held.get(name), str):
            return from_url(what, url)
    if isinstance(data := held.get("data"), str):
        return f"[{held.get('media_type') or held.get('format') or what}, {size(decoded(data))}]"
    if isinstance(file := held.get("file_id") or held.get("filename"), str):
        return f"[{what} {file}]"
    return f"[{what}]" if kind else None


def from_url(what: str, url: str) -> str:
    """Return the placeholder of an address; for a `data:` URL, its type and size."""
    found = DATA_URL.match(url)
    if found is None:
        return f"[{what} {url[:SHOWN]}{'…' if len(url) > SHOWN else ''}]"
    data = url[found.end() :]
    return f"[{found['type'] or what}, {size(decoded(data) if found['base64'] else len(data))}]"


def decoded(data: str) -> int:
    """Return the decoded size of a base64 text."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def size(number: int) -> str:
    """Return a number of bytes in readable form."""
    if number < 1000:
        return f"{number} bytes"
    return f"{number / 1000:.1f} kB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"


def as_json(value: object) -> str:
    """Return the value as indented JSON, with placeholders for long strings of data."""
    # On the text, because nesting may be deeper than recursion allows.
    return reindent(DATA.sub(named_data, json.dumps(value, ensure_ascii=False, default=str)))


def named_data(string: re.Match[str]) -> str:
    """Return a placeholder, in quotes, for a string with a `data:` URL; any other string is unchanged."""
    url = json.loads(string[0])
    return json.dumps(placeholder({"url": url}), ensure_ascii=False) if DATA_URL.match(url) else string[0]
