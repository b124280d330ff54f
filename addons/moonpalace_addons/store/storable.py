"""Make the columns of a row fit to be stored: without secrets, and with nothing that a database refuses."""

from collections.abc import Sequence

from moonpalace_addons.store.records.values import GREATEST, Values
from moonpalace_addons.wire import secrets

# What a client or upstream may have written a secret into. Headers and bodies are masked where they come in.
MASKED_COLUMNS = (
    "path",
    "query",
    "client_request_id",
    "chatcmpl_id",
    "model_requested",
    "model_answered",
    "error_kind",
    "error_message",
    "warnings",
)


def storable(columns: Values, hidden: Sequence[bytes] = ()) -> Values:
    """Return the columns with the secrets `hidden` masked and made harmless.

    Half surrogate pairs and NUL are written out as escapes; an integer past 64 bits becomes None.
    """
    # Nearly every row is fit as it is, which one look at all its texts together tells.
    texts = "\n".join([value for value in columns.values() if isinstance(value, str)])
    greatest = max([abs(value) for value in columns.values() if isinstance(value, int)], default=0)
    fit = dict(columns)
    if greatest > GREATEST or "\x00" in texts or not texts.isascii():
        fit |= {name: harmless(value) for name, value in columns.items()}
    if secrets.mask_text(texts, hidden) != texts:
        masked = {name: fit[name] for name in MASKED_COLUMNS if name in fit}
        fit |= {name: secrets.mask_text(text, hidden) for name, text in masked.items() if isinstance(text, str)}
    return fit


def harmless(value: object) -> object:
    """Return a value as a database can hold it."""
    if isinstance(value, str) and ("\x00" in value or not value.isascii()):
        return escaped(value)
    if isinstance(value, int) and abs(value) > GREATEST:
        return None
    return value


def escaped(text: str) -> str:
    """Return the text with escapes for what no database takes."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
