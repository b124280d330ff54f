"""The script, the style sheet and the icon of the pages, and their addresses."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


@cache
def content(name: str) -> bytes:
    """Return the content of a file."""
    return (FOLDER / name).read_bytes()


@cache
def version(name: str) -> str:
    """Return a hash of a file's content."""
    return sha256(content(name)).hexdigest()[:16]


def static(name: str) -> str:
    """Return the address of a file; its content under this address never changes."""
    return f"/static/{name}?{version(name)}"
