"""Make the columns of a row fit to be stored: without secrets, and with nothing that a database refuses."""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.wire.secrets import masking

REMEMBERED = 200
"""Characters of a text that is remembered."""

OURS = frozenset({"uuid", "run_id", "state", "category", "key_fingerprint", "note"})
"""What neither clients nor upstream write."""
HEADERS = frozenset({"request_headers", "response_headers"})
"""What has been looked through line by line, but for the credentials known from elsewhere."""


def storable(columns: Values, hidden: Sequence[bytes] = ()) -> Values:
    """Return the columns with the secrets `hidden` masked and made harmless.

    Half surrogate pairs and NUL are written out as escapes; an integer past 64 bits becomes None.
    """
    # Nearly every row is fit as it is, which one look at all its texts together tells.
    given, is_great = dict[str, str](), False
    for name, value in columns.items():
        kind = type(value)
        if kind is str:
            given[name] = cast(str, value)
        elif kind is int:
            is_great |= not -MAX_INT64 <= cast(int, value) <= MAX_INT64
    texts = "\n".join(given.values())
    fit = dict(columns)
    if is_great or "\x00" in texts or not texts.isascii():
        fit |= {name: harmless(value) for name, value in columns.items()}
    told = [name for name in given if name not in OURS]
    joined = "\n".join([cast(str, fit[name]) for name in told]) if hidden else ""
    known = bool(joined) and masking.mask_known(joined, hidden) != joined
    for name in told:
        text = shown = cast(str, fit[name])
        if name not in HEADERS:
            shown = remembered(shown) if len(shown) <= REMEMBERED else masking.mask_formed(shown)
        if known and name != "endpoint":
            shown = masking.mask_known(shown, hidden)
        if shown is not text:
            fit[name] = shown
    return fit


@lru_cache(1024)
def remembered(text: str) -> str:
    """Return a text without what has the form of a credential: models, endpoints and warnings are the same often."""
    return masking.mask_formed(text)


def harmless(value: object) -> object:
    """Return a value as a database can hold it."""
    if isinstance(value, str) and ("\x00" in value or not value.isascii()):
        return escaped(value)
    if isinstance(value, int) and abs(value) > MAX_INT64:
        return None
    return value


def escaped(text: str) -> str:
    """Return the text with escapes for what no database takes."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
