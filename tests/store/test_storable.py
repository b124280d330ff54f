"""Tests of making columns fit to be stored."""

import pytest

from moonpalace_addons.store.storable import MASKED_COLUMNS, storable
from moonpalace_addons.store.tasks import State

KEY = b"sk-0123456789"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("plain", "plain"),
        ("你好 🚀", "你好 🚀"),
        ("a\x00b", "a\\x00b"),
        ("half \ud83d pair", "half \\ud83d pair"),
        ("byte \udcff", "byte \\udcff"),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-(2**63), None),
        (10**300, None),
        (True, True),
        (1.5, 1.5),
        (None, None),
        (State.COMPLETED, State.COMPLETED),
    ],
)
def test_what_no_database_takes_becomes_harmless(given: object, stored: object) -> None:
    """Half surrogate pairs and NUL are escaped, integers past 64 bits dropped, all else stays."""
    columns: dict[str, object] = {"model_answered": given}
    assert storable(columns) == {"model_answered": stored}
    assert columns == {"model_answered": given}


@pytest.mark.parametrize("name", MASKED_COLUMNS)
def test_secrets_are_masked_in_free_text(name: str) -> None:
    """A secret in a column that a client or upstream wrote is masked."""
    assert storable({name: "it is sk-0123456789!"}, (KEY,)) == {name: "it is *************!"}


def test_our_own_columns_are_not_masked() -> None:
    """A credential that happens to be a word of ours does not break the row."""
    columns: dict[str, object] = {"state": "completed", "uuid": "11111111", "endpoint": "https://api.moonshot.cn"}
    assert storable(columns, (b"completed", b"11111111", b"https://api")) == columns
