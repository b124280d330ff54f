"""Tests of suggestions for unknown names."""

import pytest

from moonpalace_addons.wire.suggestions import did_you_mean, either, nearest

KNOWN = ("model", "model_answered", "status", "state", "tags", "chatcmpl")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("modle", "did you mean model?"),
        ("statuz", "did you mean status or state?"),
        ("tag", "did you mean tags?"),
        ("answered", "did you mean model_answered?"),
        ("zzzzzz", ""),
        ("", ""),
        ("m" * 10_000, ""),
    ],
)
def test_did_you_mean(name: str, hint: str) -> None:
    """Similar names are suggested, else names that contain it; nothing for nonsense."""
    assert did_you_mean(name, KNOWN) == hint


def test_the_nearest_of_all() -> None:
    """Without a cutoff there is always a suggestion."""
    assert nearest("zzzzzz", KNOWN, 1, 0.0) != []


def test_either() -> None:
    """Words are joined as a choice."""
    assert either(["a"]) == "a"
    assert either(["a", "b", "c"]) == "a, b or c"
