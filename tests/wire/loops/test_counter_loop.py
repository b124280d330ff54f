"""Counting loops are distinguished from data, tables and short families."""

from collections.abc import Callable
from random import Random

import pytest

from moonpalace_addons.wire.loops import counter_loop
from moonpalace_addons.wire.loops.counter_loop import CounterLoop
from moonpalace_addons.wire.loops.tail_period import Tail

BLOCK_LENGTH = 256


def first_loop(text: str, threshold: float = 0.5) -> tuple[int, str] | None:
    """Return the number of characters after which a counter loop is found, with its last unit."""
    counter = CounterLoop(threshold, 300)
    for start in range(0, len(text) - BLOCK_LENGTH + 1, BLOCK_LENGTH):
        unit = counter.feed(text[start : start + BLOCK_LENGTH])
        if unit:
            end = start + BLOCK_LENGTH
            return end, text[end - unit : end]
    return None


def rounds(make: Callable[[int], str], number: int = 400) -> str:
    """Return the rounds from 0 on."""
    return "".join(make(index) for index in range(number))


def clock(seconds: int) -> str:
    """Return a time as in subtitles."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},000"


@pytest.mark.parametrize(
    "text",
    [
        rounds(lambda i: f"{i}. Check the result again.\n"),
        rounds(lambda i: f"Retrying (attempt {5 * i + 3})... "),
        rounds(lambda i: f"第{i}步：再检查一次结果。"),
        rounds(lambda i: f"{i}\n{clock(3 * i)} --> {clock(3 * i + 3)}\nThank you.\n\n"),
        rounds(lambda i: f'{{"id": {i:06}, "name": "item", "price": 9.99}},\n'),
        rounds(lambda i: f"order 9007199254740993{i:06} is ready. "),
        rounds(lambda i: f"{10_000 - i} bottles left, "),
    ],
    ids=["list", "steps of five", "Chinese", "subtitles", "zeros first", "22 digits", "downwards"],
)
@pytest.mark.parametrize("prefix", [0, 1, 100, 2000])
def test_counting_is_found(text: str, prefix: int) -> None:
    """A unit repeated 40 times or more with changing counters is found soon after the 40th."""
    before = ("The quick brown fox jumps over the lazy dog; " * 50)[:prefix]
    found = first_loop(before + text)
    assert found is not None
    length = len(text) // 400
    assert 39 * length - 50 < found[0] - prefix <= max(60 * length, 800 + 2 * BLOCK_LENGTH)


@pytest.mark.parametrize(
    "text",
    [
        rounds(lambda i: f"{i}\n", 5000),
        rounds(lambda i: f"{i} | {i * i} | {i**3}\n", 1000),
        rounds(lambda i: f"int r{i};\n", 32) + "int main(void);\n" * 2,
        rounds(lambda i: f"price: {Random(i).randint(0, 999)} euros\n", 1000),
        rounds(lambda i: f"row {Random(i).random()} and so on\n", 1000),
        rounds(lambda i: "value 7 again\n", 1000),
        rounds(lambda i: f"{i * i} is a square\n", 1000),
        "3.14159" * 10 + "".join(Random(1).choices("0123456789", k=20_000)),
    ],
    ids=["numbers", "table", "32 of a family", "prices", "measurements", "constant", "squares", "digits"],
)
def test_data_is_not_a_loop(text: str) -> None:
    """Numbers alone, tables, short families and values without a steady step are never counter loops."""
    assert first_loop(text) is None


def test_unit_is_the_last_round() -> None:
    """The returned length is that of one round at the end of the text, whatever the width of its numbers."""
    found = first_loop(rounds(lambda i: f"No. {i + 950} is still not right. "))
    assert found is not None
    unit = "No. 990 is still not right. "
    assert len(found[1]) == len(unit)
    assert sorted(filter(str.isalpha, found[1])) == sorted(filter(str.isalpha, unit))


def test_digits_across_blocks_are_one_number() -> None:
    """A number across two blocks counts as one, wherever the border is."""
    text = rounds(lambda i: f"ticket 100{i:09} has been closed. ")
    places = {found for shift in range(40) for found in [first_loop("x" * shift + text)] if found}
    assert len(places) == 40


def test_lower_threshold_asks_for_more_rounds() -> None:
    """A threshold of 1 asks for 20 rounds, 0.5 for 40, 0.1 for 200."""
    text = rounds(lambda i: f"{i}. Please check the result of this step again.\n", 1000)
    places = [found[0] for threshold in (1.0, 0.5, 0.2, 0.1) if (found := first_loop(text, threshold))]
    assert len(places) == 4
    assert places == sorted(places)
    assert [text[:place].count("\n") >= least for place, least in zip(places, (20, 40, 100, 200), strict=True)] == [
        True
    ] * 4


def test_memory_is_bounded() -> None:
    """The memory for shadow and numbers is bounded, for endless digits and for numbers of any length."""
    counter = CounterLoop(0.5, 300)
    random = Random(2)
    for number in range(1500):
        long = "".join(random.choices("0123456789", k=BLOCK_LENGTH))
        counter.feed(long if number % 3 else "1a2 " * (BLOCK_LENGTH // 4))
        assert len(counter._shadow) <= 41_000
        assert len(counter._numbers) == counter._shadow.count("0")
        assert len(counter._held) <= 600


def test_fewer_numbers_than_rounds_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text with few numbers costs no search for a loop, which would have one in each round."""
    searched: list[str] = []

    def note(shadow: str, _: object) -> list[Tail]:
        searched.append(shadow)
        return []

    monkeypatch.setattr(counter_loop, "tails", note)
    text = "".join(f"Round {number} of the mill by the brook, and more words. " for number in range(40))
    for count in (39, 40):
        searched.clear()
        CounterLoop(0.5, 300).feed(text[: text.index(f"Round {count - 1} ") + 20])
        assert len(searched) == (count == 40)
