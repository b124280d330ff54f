"""Escape text for Markdown."""

import re

MIN_FENCE_LENGTH = 3
RUN = re.compile("`+")
SPECIAL = re.compile(r"([\\`*\[\]<>])")


def fenced(text: str, language: str = "") -> str:
    """Return a block of code; its fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in RUN.findall(text)), default=0)
    fence = "`" * max(MIN_FENCE_LENGTH, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def code(text: str) -> str:
    """Return inline code."""
    line = " ".join(text.split())
    longest = max((len(run) for run in RUN.findall(line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def escaped(text: str) -> str:
    """Return a line of plain text, escaped so that it contains no emphasis, link or tag."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(rows: list[tuple[str, str]]) -> str:
    """Return a table of names and values."""
    lines = ["| | |", "| --- | --- |"]
    lines += [f"| {name} | {code(value).replace('|', chr(92) + '|')} |" for name, value in rows]
    return "\n".join(lines)


def shortened(text: str, limit: int) -> str:
    """Return the text; of a long one the beginning and the end, with a line that states how much is left out."""
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit // 4
    return f"{text[:head]}\n… ({len(text) - head - tail:,} of {len(text):,} characters left out) …\n{text[-tail:]}"
