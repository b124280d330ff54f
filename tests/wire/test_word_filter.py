"""Tests of the filter for the words of texts."""

import json
import random

import pytest

from moonpalace_addons.wire import word_filter
from moonpalace_addons.wire.word_filter import MATCH_ALL, BitPositions, FilterBuilder, may_contain, places
from tests.word_filters import NUMBER, filtered


def body(*texts: str) -> str:
    return json.dumps({"messages": [{"content": text} for text in texts]})


def has(words: bytes, *tokens: str) -> bool:
    return may_contain(words, NUMBER, map(places, tokens))


def test_what_is_there_is_found() -> None:
    """Every token of the texts may be contained; nearly all other tokens are not."""
    chance = random.Random(1)
    tokens = [f"word{chance.random()}".replace(".", "") for _ in range(5_000)]
    words = filtered(body(*tokens[:2_000]), body(*tokens[1_000:3_000]))
    assert all(has(words, token) for token in tokens[:3_000])
    assert sum(has(words, token) for token in tokens[3_000:]) < 60
    assert 3_000 < len(words) < 4_000


def test_pairs_take_less() -> None:
    """Two Chinese characters take fewer bits than a word, and three together are rarely a false positive."""
    chance = random.Random(1)
    text = "".join(chr(chance.randint(0x4E00, 0x4F00)) for _ in range(3_000))
    words = filtered(body(text))
    assert all(has(words, text[place : place + 2]) for place in range(2_999))
    absent = [chr(chance.randint(0x4E00, 0x9FFF)) + chr(chance.randint(0x4E00, 0x9FFF)) for _ in range(900)]
    assert sum(has(words, *absent[place : place + 3]) for place in range(0, 900, 3)) < 5
    assert len(words) < 2_600


def test_without_texts() -> None:
    """Empty texts have no words."""
    words = filtered("", "{}", '{"model": "kimi"}')
    assert not has(words, "kimi")
    assert not has(words, "model")


def test_the_same_text_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that is repeated in each call is only read once."""
    looked = list[str]()

    def look(text: str) -> set[str]:
        looked.append(text)
        return {"x"}

    monkeypatch.setattr(word_filter, "text_tokens", look)
    filtered(body("one"), body("one", "two"), body("one", "two", "three"))
    assert looked == ["one", "two", "three"]


@pytest.mark.parametrize("name", ["MAX_TOKENS", "MAX_BODY_LENGTH"])
def test_bounds(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A text that is too large may contain any word."""
    monkeypatch.setattr(word_filter, name, 3)
    assert filtered(body("one two three four")) == MATCH_ALL
    assert has(MATCH_ALL, "whatever", "you", "seek")


def test_a_mark_that_counts_as_a_letter() -> None:
    """A text with the one mark that matches a letter may contain any word."""
    assert filtered(body("\u0345")) == MATCH_ALL


def test_places_fit_into_the_database() -> None:
    """Positions are positive integers of 63 bits, different for different tokens."""
    results = [tuple(places(str(token)).for_seed(number)) for token in range(100) for number in (0, 1, 1_023)]
    assert all(0 <= place < 2**63 for some in results for place in some)
    assert len(set(results)) == 300
    assert BitPositions(2**61 - 1, 2**52 - 1, 7).for_seed(1_023)[-1] < 2**63
    assert [len(places(token).for_seed(0)) for token in ("a", "月", "月之", "ab")] == [7, 7, 4, 7]


def test_filters_err_in_different_words() -> None:
    """Filters of the same texts with different seeds rarely share a false positive."""
    text = body(" ".join(f"w{number}" for number in range(200)))
    words = [filtered(text, number=number) for number in range(200)]
    for token in ("missing", "absent", "nowhere", "月之"):
        assert sum(may_contain(each, number, [places(token)]) for number, each in enumerate(words)) < 30


def test_steps_are_short() -> None:
    """A long text is added and packed in many steps."""
    builder = FilterBuilder(0)
    steps = list(builder.add(body(" ".join(f"w{number}" for number in range(50_000)))))
    assert len(steps) > 10
    assert len(list(builder.build())) == 200
