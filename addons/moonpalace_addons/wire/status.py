"""Name HTTP status codes."""

from http import HTTPStatus

FIRST_ERROR = HTTPStatus.BAD_REQUEST
"""The first status that says of itself that a call failed."""


def status_line(code: int | None) -> str:
    """Return a code with its name, as in `200 OK`; empty where no response came, the code alone if it has no name."""
    if code is None:
        return ""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
