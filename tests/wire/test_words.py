"""Tests of words in texts, and of their tokens in the index."""

import re
import sys

import pytest

from moonpalace_addons.wire import words
from moonpalace_addons.wire.words import IOTA_BELOW, WORD, fold_case, is_east_asian, query_tokens, slices, text_tokens
from tests.tables import for_each


@for_each(
    ("text", "tokens"),
    [
        ("", set()),
        ("One two_2, one", {"one", "two_2"}),
        ("don't", {"don", "t"}),
        ("月", {"月"}),
        ("月之暗", {"月", "之", "暗", "月之", "之暗"}),
        ("v2的模型x", {"v2", "的", "模", "型", "的模", "模型", "x"}),
        ("Привет", {"привет"}),
        ("CAFÉ au", {"café", "caf", "au"}),
        ("10m²", {"10m²", "10m"}),
        ("Straße", {"strasse", "stra", "e"}),
        ("ア・イ", {"ア", "・", "イ", "ア・", "・イ"}),
        ("😀a😀", {"a"}),
        ("\ud800x", {"x"}),
    ],
)
def test_tokens_of_texts(text: str, tokens: set[str]) -> None:
    """A text has its words in lower case, and from runs without spaces single characters and pairs."""
    assert text_tokens(text) >= tokens
    assert not [token for token in text_tokens(text) - tokens if token.isascii()]


@pytest.mark.parametrize(
    ("word", "tokens"),
    [
        ("one", {"one"}),
        ("月", {"月"}),
        ("月之暗", {"月", "之", "暗", "月之", "之暗"}),
        ("ς", {"σ"}),
        ("ı", {"i"}),
        ("a_1", {"a_1"}),
    ],
)
def test_tokens_of_a_word(word: str, tokens: set[str]) -> None:
    """A word in a query has one token; a run without spaces has single characters and pairs."""
    assert query_tokens(word) == tokens


def test_case() -> None:
    """Characters that are equal under IGNORECASE are equal, and both belong to words."""
    cased = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).lower() != chr(code).upper()]
    cased += [IOTA_BELOW]
    everything = "".join(cased)
    assert len(cased) > 2_500
    for character in cased:
        same = re.findall(re.escape(character), everything, re.IGNORECASE)
        assert character in same
        assert {fold_case(each) for each in same} == {fold_case(character)}
        assert {WORD.match(each) is None for each in same if each != IOTA_BELOW} == {WORD.match(same[-1]) is None} or (
            IOTA_BELOW in same
        )
        assert not any(map(is_east_asian, same))


def test_slices() -> None:
    """The slices of a text add up to it, and have the same tokens, wherever they are cut."""
    text = "One tWo，月之暗面・三四 five_6 naïve\n" * 7
    for size in range(1, 60):
        words.SLICE_LENGTH, before = size, words.SLICE_LENGTH
        try:
            cut = list(slices(text))
        finally:
            words.SLICE_LENGTH = before
        assert "".join(cut) == text
        assert set[str]().union(*map(text_tokens, cut)) == text_tokens(text)
