"""Tests of the word search."""

import json

import pytest

from moonpalace_addons.store.query.words import MAX_WORDS, occur, terms
from moonpalace_addons.wire.chat.searched import texts


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("One two", (("one",), ("two",))),
        ('"one two" three', (("one", "two"), ("three",))),
        ("foo-bar a_b", (("foo", "bar"), ("a_b",))),
        ("月亮", (("月亮",),)),
        ("v2的模型", (("v2", "的模型"),)),
        ("x x", (("x",),)),
        ("... x", (("x",),)),
        ('"unclosed', (("unclosed",),)),
    ],
)
def test_terms(words: str, expected: tuple[tuple[str, ...], ...]) -> None:
    """Words are separated by whitespace; quoted or joined ones form a phrase."""
    assert terms(words) == expected


@pytest.mark.parametrize("words", ["", " ", "...", '""', "x " * 10 + " ".join(f"w{n}" for n in range(MAX_WORDS + 1))])
def test_no_terms(words: str) -> None:
    """Without a word, or with too many, there is an error."""
    with pytest.raises(ValueError, match="word"):
        terms(words)


BODY = {
    "model": "kimi",
    "messages": [
        {"role": "user", "content": "Tell me of cats,\nplease"},
        {"role": "user", "content": [{"type": "text", "text": "看图：猫"}, {"image_url": {"url": "data:secret"}}]},
        {"role": "assistant", "tool_calls": [{"function": {"arguments": '{"content": "inner"}', "name": "lookup"}}]},
    ],
}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cats", True),
        ("CATS Please", True),
        ("cats猫", False),
        ("猫", True),
        ("图猫", False),
        ("图：猫", True),
        ("tellme", False),
        ("看图", True),
        ("tell-me", True),
        ("cat", False),
        ("inner", True),
        ('"cats please"', True),
        ('"please cats"', False),
        ("user", False),
        ("kimi", False),
        ("secret", False),
        ("messages", False),
        ("answered", True),
        ("cats answered", True),
        ("cats missing", False),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_occur(words: str, found: bool, ascii_only: bool) -> None:
    """All words must occur in the texts of messages and answers, in either body, however JSON writes them."""
    bodies = [json.dumps(BODY, ensure_ascii=ascii_only), json.dumps({"content": "answered"}), None, "{broken"]
    assert occur(terms(words), bodies) is found


def test_texts_of_broken_json() -> None:
    """Invalid and truncated JSON still has texts; an invalid escape is left unchanged."""
    assert list(texts(r'{"content": "whole", "text": "\u12", "content": "cu')) == ["whole", r"\u12"]


def test_no_hang() -> None:
    """A long body with an unterminated string is read quickly."""
    assert list(texts('{"content": "' + "\\\\" * 500_000)) == []
    assert len(list(texts('"text":"' * 200_001))) == 100_000
