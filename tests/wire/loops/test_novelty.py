"""A stall is detected in near loops and in no text with new content."""

from itertools import count
from random import Random

import pytest

from moonpalace_addons.wire.loops.novelty import BLOCK_LENGTH, Stall

SENTENCES = ["I will do it. ", "Let me begin. ", "Starting now. ", "Here is the code. ", "OK. "]
REMEMBERED, LENGTH, DIFFERENT, NEW = 8192, 3072, 368, 15


def blocks(text: str) -> list[str]:
    """Cut a text into whole blocks."""
    return [text[start : start + BLOCK_LENGTH] for start in range(0, len(text) - BLOCK_LENGTH + 1, BLOCK_LENGTH)]


def first_stall(text: str, threshold: float = 0.5) -> int | None:
    """Return the number of characters after which the text stalls."""
    stall = Stall(threshold)
    return next((number * BLOCK_LENGTH for number, block in enumerate(blocks(text), 1) if stall.feed(block)), None)


def expected_stall(text: str) -> int | None:
    """Return the same for a threshold of 0.5, computed from the definition at every block."""
    for end in range(LENGTH + BLOCK_LENGTH, len(text) + 1, BLOCK_LENGTH):
        start = end - LENGTH
        latest = {text[at : at + 8] for at in range(start - 7, end - 7)}
        before = text[max(0, start - REMEMBERED) : start]
        if len(latest) <= DIFFERENT and sum(gram not in before for gram in latest) <= NEW:
            return end
    return None


def shuffled(seed: int, length: int, sentences: list[str]) -> str:
    """Return sentences in random order."""
    random = Random(seed)
    return "".join(random.choice(sentences) for _ in range(length))


def prose(seed: int, length: int) -> str:
    """Return invented words."""
    random = Random(seed)
    return " ".join("".join(random.choices("abcdefghijklmnop", k=random.randint(2, 9))) for _ in range(length))


def mixed(seed: int) -> str:
    """Return a text that alternates between prose and few sentences, with a new one now and then."""
    random = Random(seed)
    text = prose(seed, random.choice([0, 50, 500]))
    while len(text) < 25_000:
        sentences = [*random.sample(SENTENCES, k=random.randint(2, 5)), prose(len(text), random.randint(1, 4)) + ". "]
        news = random.choice([0.001, 0.004, 0.02])
        for _ in range(random.randint(50, 500)):
            text += random.choice(sentences) if random.random() > news else prose(len(text), 1)
        text += prose(len(text), random.choice([3, 30]))
    return text


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_the_definition(seed: int) -> None:
    """Optimizations never change when a text stalls."""
    text = mixed(seed)
    assert first_stall(text) == expected_stall(text)


def test_the_mixed_texts_try_both_answers() -> None:
    """Some of the compared texts stall, at different places, and others never do."""
    places = {expected_stall(mixed(seed)) for seed in range(12)}
    assert None in places
    assert len(places) > 3


@pytest.mark.parametrize("prefix", [0, 300, 3000])
def test_finds_shuffled_sentences(prefix: int) -> None:
    """A few sentences in any order are a stall after a few thousand characters, however much prose came before."""
    before = prose(1, prefix)
    place = first_stall(before + shuffled(2, 1000, SENTENCES))
    assert place is not None
    assert LENGTH <= place - len(before) <= 2 * LENGTH


@pytest.mark.parametrize(
    "text",
    [
        prose(3, 8000),
        "".join(f'{{"id": {number * 7919 % 100_003}, "name": "item", "ok": true}},\n' for number in range(1500)),
        shuffled(4, 3000, [word + " " for word in prose(5, 100).split()]),
        "".join(chr(0x4E00 + 1624 * number % 3001) for number in range(30_000)),
    ],
    ids=["prose", "records", "a hundred words", "Chinese"],
)
def test_text_with_news_never_stalls(text: str) -> None:
    """Prose, records with different values, and words from a large vocabulary never stall."""
    assert first_stall(text) is None


def test_lower_threshold_waits_longer() -> None:
    """The lower the threshold, the longer a stall must last."""
    text = shuffled(7, 9000, SENTENCES)
    places = [first_stall(text, threshold) for threshold in (1.0, 0.7, 0.5, 0.3, 0.1, 0.05)]
    assert None not in places
    assert places == sorted(places, key=lambda place: place or 0)
    assert len(set(places)) == len(places)
    assert first_stall(text, 0.01) is None


def test_any_code_point_passes() -> None:
    """Lone surrogates and the highest code points are treated like any other character."""
    stall = Stall(0.5)
    wide = "\ud800\U0010ffff\0é"
    assert not any(stall.feed((wide * BLOCK_LENGTH)[:BLOCK_LENGTH]) for _ in range(12))
    assert any(stall.feed((wide * BLOCK_LENGTH)[:BLOCK_LENGTH]) for _ in range(12))


def test_memory_is_bounded() -> None:
    """Memory does not grow with the text."""
    stall = Stall(0.5)
    for number in count():
        stall.feed(f"{number:256}")
        assert len(stall._low) <= 15_616
        if number == 500:
            break
