"""Tests of masking a stored call's secrets again."""

from collections.abc import Callable
from typing import get_type_hints

from moonpalace_addons.store.exchange import Exchange
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.redaction.masked import masked

KEY = "sk-0123456789abcdefghij0123456789ab"
OURS = {"uuid", "endpoint", "category", "key_fingerprint", "note"}
"""Columns that neither a client nor upstream writes."""


def test_every_text_of_a_row_is_masked(call: Callable[..., Call]) -> None:
    """A known secret, and a key with a known format, is in no foreign text."""
    texts = {name for name, hint in get_type_hints(Exchange).items() if hint in (str, str | None)}
    for hidden, known in (("moonlight", (b"moonlight",)), (KEY, ())):
        row = masked(call(**dict.fromkeys(texts, f"X: {hidden}\r\n")), known).exchange
        assert {name for name in texts if hidden in str(getattr(row, name))} <= OURS
