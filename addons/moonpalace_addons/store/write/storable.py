"""Prepare columns for storage: mask secrets, and replace values that databases do not accept."""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.wire.secrets import masking

MAX_CACHED_LENGTH = 200
"""Maximum characters of a text whose masking is cached."""

TRUSTED_COLUMNS = frozenset({"uuid", "run_id", "state", "category", "key_fingerprint", "note"})
"""Columns that neither clients nor upstream write."""
HEADER_COLUMNS = frozenset({"request_headers", "response_headers"})
"""Columns already masked line by line, except for credentials known from elsewhere."""


def storable(columns: Values, hidden: Sequence[bytes] = ()) -> Values:
    """Return the columns with secrets masked, including `hidden`, and values that both databases accept.

    Lone surrogates and NUL are replaced by escapes; an integer beyond 64 bits becomes None. It is the same object if
    nothing has to be replaced.
    """
    # Nearly every row is acceptable as it is, which one check of all its texts joined shows.
    given = {name: value for name, value in columns.items() if type(value) is str}
    large = [value for value in columns.values() if type(value) is int and not -MAX_INT64 <= value <= MAX_INT64]
    texts = "\n".join(given.values())
    fit = columns
    if large or "\x00" in texts or not texts.isascii():
        fit = {name: acceptable(value) for name, value in columns.items()}
        given = {name: cast(str, fit[name]) for name in given}
        texts = "\n".join(given.values())
    known = bool(hidden and texts) and masking.mask_known(texts, hidden) != texts
    for name, text in given.items():
        if name in TRUSTED_COLUMNS:
            continue
        shown = text
        if name not in HEADER_COLUMNS:
            shown = mask_formed_cached(shown) if len(shown) <= MAX_CACHED_LENGTH else masking.mask_formed(shown)
        if known and name != "endpoint":
            shown = masking.mask_known(shown, hidden)
        if shown != text:
            fit = fit | {name: shown}
    return fit


@lru_cache(1024)
def mask_formed_cached(text: str) -> str:
    """Mask credentials by their form. Cached, as models, endpoints and warnings recur."""
    return masking.mask_formed(text)


def acceptable(value: object) -> object:
    """Return a value that both databases accept."""
    if isinstance(value, str) and ("\x00" in value or not value.isascii()):
        return escaped(value)
    if isinstance(value, int) and abs(value) > MAX_INT64:
        return None
    return value


def escaped(text: str) -> str:
    """Return a text with escapes for characters that databases do not accept."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
