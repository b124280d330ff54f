"""Make the columns of a row fit to be stored: without secrets, and with nothing that a database refuses."""

from collections.abc import Sequence

from moonpalace_addons.store.records import GREATEST, Values
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
    fit = dict(columns)
    for name, value in columns.items():
        if isinstance(value, str):
            if "\x00" in value or not value.isascii():
                fit[name] = escaped(value)
        elif isinstance(value, int) and not -GREATEST <= value <= GREATEST:
            fit[name] = None
    for name in MASKED_COLUMNS if hidden else ():
        text = fit.get(name)
        if isinstance(text, str):
            fit[name] = secrets.mask_text(text, hidden)
    return fit


def escaped(text: str) -> str:
    """Return the text with escapes for what no database takes."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
