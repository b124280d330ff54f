"""Name HTTP status codes."""

from functools import lru_cache
from http import HTTPStatus

FIRST_REDIRECT = HTTPStatus.MULTIPLE_CHOICES
"""The lowest status after those of success."""
FIRST_ERROR = HTTPStatus.BAD_REQUEST
"""The lowest status that denotes an error."""


@lru_cache
def status_line(code: int | None) -> str:
    """Return a code with its phrase, as in `200 OK`; the code alone if it has none, empty without a response."""
    if code is None:
        return ""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
