"""Extract the strings of requests and answers that a search for words covers."""

import json
import re
from collections.abc import Iterator

SEARCHED_KEYS = (
    *("content", "text", "reasoning_content", "reasoning", "thinking", "refusal", "arguments"),
    *("input", "output", "instructions", "prompt", "system"),
)
"""Members of JSON objects whose strings are searched."""

MEMBER = re.compile(rf'"(?:{"|".join(SEARCHED_KEYS)})"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)


def raw_strings(body: str) -> Iterator[str]:
    """Yield the searched strings of a JSON body, still escaped."""
    return (match[1] for match in MEMBER.finditer(body))


def unescape(written: str) -> str:
    """Return the value of a JSON string, or the string itself if it is invalid."""
    if "\\" not in written:
        return written
    try:
        text: str = json.loads(f'"{written}"', strict=False)
    except ValueError:
        return written
    return text


def texts(body: str) -> Iterator[str]:
    """Yield the searched strings of a JSON body."""
    return map(unescape, raw_strings(body))
