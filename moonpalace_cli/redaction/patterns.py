"""Create the redactor of a store, with the pattern of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from moonpalace_addons.errors import SettingError
from moonpalace_cli.redaction.redactor import Redactor

if TYPE_CHECKING:
    from sqlalchemy import Engine


def redactor(engine: Engine, pattern: str | None) -> Redactor:
    """Return the redactor; pseudonyms use the key of this store. Raise SettingError for an invalid pattern."""
    from moonpalace_addons.store.records import identity

    matches = finder(pattern) if pattern else None
    with engine.connect() as connection:
        return Redactor(identity.fingerprint_key(connection), matches)


def finder(pattern: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Return a function that yields the pattern's matches; RE2 takes linear time for any pattern and text."""
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise SettingError(f"redact-pattern: {pattern!r} is not a valid RE2 regular expression: {reason}") from None

    def find(text: str) -> Iterator[tuple[int, int]]:
        # A lone surrogate has no UTF-8; replacing it by one character keeps positions.
        encodable = text.encode("utf-8", "replace").decode()
        return (match.span() for match in compiled.finditer(encodable) if match.end() > match.start())

    return find
