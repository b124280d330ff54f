"""Quote captured text on one line, within a number of tokens, so that it cannot be mistaken for ours."""

from __future__ import annotations

import json
import re

from moonpalace_addons.wire.escaping import escaped

ASCII_PER_TOKEN = 4
"""Characters per token in English or code; any other character counts as a token, which is an overestimate."""
HEAD_SHARE = 0.65
"""The share of a shortened text that is taken from its beginning."""
MIN_EXCERPT = 8
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


def tokens_in(text: str) -> int:
    """Return an estimate of the tokens of a text that is rather too high than too low."""
    ascii_only = len(text) if text.isascii() else sum(character.isascii() for character in text)
    return -(-ascii_only // ASCII_PER_TOKEN) + len(text) - ascii_only


def quoted(text: str) -> str:
    """Return a text as a JSON string, with escapes for all characters that a terminal would interpret or hide."""
    return escaped(json.dumps(text, ensure_ascii=False))


def excerpt(text: str, limit: int) -> str:
    """Return a text as a JSON string of about `limit` tokens at most; of a long one the beginning and the end."""
    room = limit
    while True:
        excerpted = quoted(shortened(text, room))
        size = tokens_in(excerpted)
        if size <= limit or room <= MIN_EXCERPT:
            return excerpted
        room = max(MIN_EXCERPT, room * limit // size - 1)  # JSON escapes take more room


def shortened(text: str, limit: int) -> str:
    """Return the text; if it has more than `limit` tokens, its beginning and end."""
    most = limit * ASCII_PER_TOKEN
    if len(text) <= most and tokens_in(text) <= limit:
        return text
    head = fitting(text[:most], int(limit * HEAD_SHARE))
    tail = fitting(text[-most:][::-1], limit - int(limit * HEAD_SHARE))
    left_out = len(text) - head - tail
    return f"{text[:head]} [... {left_out:,} characters left out ...] {text[len(text) - tail :]}"


def fitting(text: str, limit: int) -> int:
    """Return the length of the longest beginning of a text with at most `limit` tokens."""
    spent = 0
    for place, character in enumerate(text):
        spent += 1 if character.isascii() else ASCII_PER_TOKEN
        if spent > limit * ASCII_PER_TOKEN:
            return place
    return len(text)


def name_of(text: str) -> str:
    """Return a captured name, such as a role, unchanged if it is a word, else quoted and shortened."""
    return text if WORD.fullmatch(text) else excerpt(text, 12)
