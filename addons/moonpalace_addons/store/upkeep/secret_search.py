"""Scan the whole store for keys and tokens, with the patterns that the gate uses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from moonpalace_addons.store.journal.journal_texts import journal_texts
from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.upkeep import texts
from moonpalace_addons.store.upkeep.texts import Text
from moonpalace_addons.wire.secrets import bodies, masking, patterns, personal, streams
from moonpalace_addons.wire.secrets.names import is_secret
from moonpalace_addons.wire.secrets.patterns import Finding
from moonpalace_addons.wire.secrets.values import known

HEADERS = ("request_headers", "response_headers")
SHOWN_CHARACTERS = 4
"""Characters of a secret that are shown to identify it."""
MIN_SHOWN_LENGTH = 12
"""Shorter secrets are not shown at all."""
STREAMS = ("event_streams", "response_segments")
TEXT_TABLES = ("parts", "event_streams")
NONE_KNOWN = known(())
NAMES = {"exchange_tags": "tag", "event_streams": "event stream", "response_segments": "answer under way"}

type Progress = Callable[[int], None]
"""Called with the size of each scanned text in bytes."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A possible secret: its call (None outside of calls), field, kind and masked form."""

    call: int | None
    field: str
    kind: str
    masked: str


def search(engine: Engine, progress: Progress = lambda _: None) -> list[Hit]:
    """Return the possible secrets in the store, sorted by call; each is reported once per field."""
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
                Hit(None, "a piece that no call uses", hit.kind, hit.masked)
            }
    return sorted(placed, key=lambda hit: (hit.call or 0, hit.field, hit.kind, hit.masked))


def search_journal(path: Path, progress: Progress = lambda _: None) -> Iterator[Hit]:
    """Yield the possible secrets in the calls of a journal, which have no ids yet.

    Raises ValueError if another version of MoonPalace wrote it or, after all hits, if a part of it cannot be read;
    OSError if none of it can.
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
    """Yield the kind and the masked form of each secret in a text."""
    secrets = findings(text)
    for finding in secrets:
        yield finding.kind, masked(text.data[finding.start : finding.end].decode("utf-8", "replace"))
    if text.table in TEXT_TABLES:
        decoded = text.data.decode("utf-8", "replace")
        yield from (("password", masked(decoded[start:end])) for start, end, _ in personal.passwords(decoded))
    if text.table != "exchanges":
        return
    content = text.data.decode("utf-8", "replace")
    if text.column in HEADERS:
        for name, value in header_pairs(content):
            if masking.mask_value(name, value) != value and (is_secret(name) or not patterns.find(value)):
                yield f"header {name.strip()}", "…"
    elif text.column == "query" and not secrets and masking.mask_query(content) != content:
        yield "query parameter named like a credential", "…"
    elif text.column == "path" and not secrets and masking.mask_path(content) != content:
        yield "key in a path", "…"


def findings(text: Text) -> list[Finding]:
    """Return the secrets in a text: by pattern, by member name and, in streams, split across events."""
    if text.table == "exchanges":
        return patterns.without_overlaps(patterns.find_in(text.data))
    if text.table not in STREAMS:
        return bodies.find(text.data, NONE_KNOWN)
    return [*streams.find(text.data, NONE_KNOWN), *streams.find_split(text.data, NONE_KNOWN)]


def field_name(text: Text) -> str:
    """Return the name of a text's place, as users know it."""
    return NAMES.get(text.table, text.column if text.table == "exchanges" else f"{text.table}.{text.column}")


def masked(secret: str) -> str:
    """Return the beginning of a secret and its length; nothing of a short secret."""
    beginning = secret[:SHOWN_CHARACTERS] if len(secret) >= MIN_SHOWN_LENGTH else ""
    return f"{beginning}… ({len(secret)} characters)"
