"""The strings in messages and answers that are searched for words."""

import json
import re
from collections.abc import Iterator

SEARCHED_KEYS = (
    *("content", "text", "reasoning_content", "reasoning", "thinking", "refusal", "arguments"),
    *("input", "output", "instructions", "prompt", "system"),
)
"""The members of JSON objects whose strings are searched."""

MEMBER = re.compile(rf'"(?:{"|".join(SEARCHED_KEYS)})"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)


def raw_strings(body: str) -> Iterator[str]:
    """Give the strings of a JSON body that are searched, as they are written there."""
    return (match[1] for match in MEMBER.finditer(body))


def unescape(written: str) -> str:
    """Return what a string in JSON says, or the string itself if it is none."""
    if "\\" not in written:
        return written
    try:
        text: str = json.loads(f'"{written}"', strict=False)
    except ValueError:
        return written
    return text


def texts(body: str) -> Iterator[str]:
    """Give the strings of a JSON body that are searched."""
    return map(unescape, raw_strings(body))
