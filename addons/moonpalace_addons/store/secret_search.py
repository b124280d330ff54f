"""Look through the whole store for what looks like a key or token."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from moonpalace_addons.store.derive import header_pairs
from moonpalace_addons.store.journal.journal_texts import journal_texts
from moonpalace_addons.store.records import texts
from moonpalace_addons.store.records.texts import Text
from moonpalace_addons.wire import secret_patterns, secrets

HEADERS = ("request_headers", "response_headers")
SHOWN = 4
"""Characters of a secret that are shown, to find it again by."""
LEAST = 12
"""Characters of the shortest secret of which any are shown."""
# An escape before a secret must not look like a part of its first word, as the n of \n in a JSON string would.
ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[bfnrt])")
# What the forms of `wire.secret_patterns` begin with. To look for these first is many times as fast as the patterns.
_GITHUB = (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_")
_OTHERS = (b"sk-", b"k_live_", b"AKIA", b"ASIA", b"glpat-", b"xox", b"AIza", b"ya29.", b"hf_", b"npm_", b"pypi-")
MARKS = dict.fromkeys((*_GITHUB, *_OTHERS, b"earer", b"://"), 400) | {b"eyJ": 4000, b"-----BEGIN": 8000}
"""Each with how many bytes behind it are looked at; of a longer secret the beginning is found."""
BEFORE = 40
NAMES = {"exchange_tags": "tag", "event_streams": "event stream", "response_segments": "answer under way"}

type Progress = Callable[[int], None]
"""Called with the bytes of each text that has been looked through."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What looks like a secret: the call it is in, None outside of calls, the field, the kind, and a masked form."""

    call: int | None
    field: str
    kind: str
    masked: str


def search(engine: Engine, progress: Progress = lambda _: None) -> list[Hit]:
    """Return what looks like a secret anywhere in the store, by call; the same one of a field is given once."""
    hits: set[tuple[Hit, int | None]] = set()
    with engine.connect() as connection:
        for text in texts.texts(connection):
            for kind, masked in found_in(text):
                part = int(text.row) if text.table == "parts" else None
                call = None if part is not None or text.table in ("runs", "context_caches") else int(text.row)
                hits.add((Hit(call, field_name(text), kind, masked), part))
            progress(len(text.data))
        owners = texts.calls_with(connection, sorted({part for _, part in hits if part is not None}))
    placed = {hit for hit, part in hits if part is None}
    for hit, part in hits:
        if part is not None:
            placed |= {Hit(call, field, hit.kind, hit.masked) for call, field in owners.get(part, ())} or {
                Hit(None, "a piece that no call has any more", hit.kind, hit.masked)
            }
    return sorted(placed, key=lambda hit: (hit.call or 0, hit.field, hit.kind, hit.masked))


def search_journal(path: Path, progress: Progress = lambda _: None) -> Iterator[Hit]:
    """Give what looks like a secret in the calls that wait in a journal, which have no numbers yet.

    Raises ValueError if another version of MoonPalace wrote it, or, after all else, if a part of it cannot be read;
    OSError if nothing of it can.
    """
    hits: set[Hit] = set()
    try:
        for text in journal_texts(path):
            name = text.column if text.table == "parts" else field_name(text)
            place = f"{name} of a call in {path.name}"
            hits |= {Hit(None, place, kind, masked) for kind, masked in found_in(text)}
            progress(len(text.data))
    finally:
        yield from sorted(hits, key=lambda hit: (hit.field, hit.kind, hit.masked))


def found_in(text: Text) -> Iterator[tuple[str, str]]:
    """Give the kind and the masked form of each secret in a text."""
    for window in windows(text.data):
        for finding in secret_patterns.find(window):
            yield finding.kind, masked(window[finding.start : finding.end])
    if text.table != "exchanges":
        return
    content = text.data.decode("utf-8", "replace")
    if text.column in HEADERS:
        for name, _ in header_pairs(content):
            if name.strip().lower() in secrets.SECRET_HEADERS:
                yield f"header {name.strip()}", "…"
    elif text.column == "query" and secrets.strip_query(content) != content:
        yield "parameter of a query that is named like a credential", "…"


def windows(data: bytes) -> Iterator[str]:
    """Give the stretches that can hold a secret: around what secrets begin with, which is quick to find."""
    found = sorted(stretch for mark, reach in MARKS.items() for stretch in around(data, mark, reach))
    start = end = 0
    for first, last in found:
        if first > end:
            yield readable(data[start:end])
            start = first
        end = max(end, last)
    yield readable(data[start:end])


def around(data: bytes, mark: bytes, reach: int) -> Iterator[tuple[int, int]]:
    """Give stretches in which every mark has `reach` bytes behind it; those that come thick lie in one of them."""
    place = data.find(mark)
    while place >= 0:
        yield max(0, place - BEFORE), min(len(data), place + 2 * reach)
        place = data.find(mark, place + reach)


def readable(data: bytes) -> str:
    """Return a text without the escapes of JSON."""
    content = data.decode("utf-8", "replace")
    return ESCAPE.sub(lambda found: " " * len(found[0]), content) if "\\" in content else content


def field_name(text: Text) -> str:
    """Return what users call the place of a text."""
    return NAMES.get(text.table, text.column if text.table == "exchanges" else f"{text.table}.{text.column}")


def masked(secret: str) -> str:
    """Return the beginning of a secret and how long it is; nothing of a short one."""
    beginning = secret[:SHOWN] if len(secret) >= LEAST else ""
    return f"{beginning}… ({len(secret)} characters)"
