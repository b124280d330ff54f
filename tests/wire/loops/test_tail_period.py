"""The search for periods agrees with brute force, and no text makes it slow."""

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonpalace_addons.wire.loops.tail_period import Rule, Tail, nearest_repeat, tails

rules = st.builds(Rule, st.integers(1, 40), st.sampled_from([1.5, 2, 2.43, 3, 13 / 3, 5, 11]), st.integers(1, 30))
runs = st.tuples(st.text("ab", min_size=1, max_size=25), st.integers(1, 12)).map(lambda part: part[0] * part[1])
texts = st.lists(runs | st.text("abc", max_size=30), max_size=8).map("".join)


def run_length(text: str, period: int) -> int:
    """Return the length of the longest end of a text with a period, 0 if not even one character is repeated."""
    length = 0
    while length + period < len(text) and text[-1 - length] == text[-1 - length - period]:
        length += 1
    return period + length if length else 0


def shortest_loop(text: str, rule: Rule) -> Tail | None:
    """Try every period, one character after the other."""
    for period in range(1, rule.max_period + 1):
        length = run_length(text, period)
        if length and rule.accepts(period, length):
            return Tail(period, length)
    return None


@given(texts, rules)
@settings(max_examples=200)
def test_agrees_with_brute_force(text: str, rule: Rule) -> None:
    """The first loop found is the one with the shortest period, with its whole length."""
    assert next(tails(text, rule), None) == shortest_loop(text, rule)


@pytest.mark.parametrize("alphabet", ["a", "ab", "abc"])
def test_agrees_with_brute_force_on_random_texts(alphabet: str) -> None:
    """Random texts over small alphabets, with and without loops, give the same result as brute force."""
    random = Random(alphabet)
    found = 0
    for _ in range(600):
        rule = Rule(random.randint(1, 60), random.choice([1.5, 2, 3, 4.3, 11]), random.randint(1, 40))
        text = ""
        while len(text) < 150:
            text += "".join(random.choices(alphabet, k=random.randint(1, 30))) * random.choice([1, 1, 2, 3, 9])
        text = text[: random.randint(1, 200)]
        expected = shortest_loop(text, rule)
        found += expected is not None
        assert next(tails(text, rule), None) == expected, (text, rule)
    assert found > 50


@given(texts, rules, st.integers(1, 30))
@settings(max_examples=100)
def test_every_loop_is_true(text: str, rule: Rule, least: int) -> None:
    """Every result is a loop by the rule, in the order of the periods, none shorter than the minimum."""
    found = list(tails(text, rule, least))
    assert [tail.period for tail in found] == sorted({tail.period for tail in found})
    for tail in found:
        assert tail.period >= least
        assert tail.length == run_length(text, tail.period)
        assert rule.accepts(tail.period, tail.length)


@given(texts, st.integers(1, 40), st.integers(1, 60))
@settings(max_examples=100)
def test_nearest_never_misses(text: str, size: int, longest: int) -> None:
    """If the last characters recur within the longest period, the returned distance is theirs or less, and not 0."""
    recurs = [period for period in range(1, longest + 1) if run_length(text, period) - period >= size]
    distance = nearest_repeat(text, size, longest)
    if recurs:
        assert 0 < distance <= recurs[0]


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("ab" * 10, Rule(20, 3, 5), Tail(2, 20)),
        ("ab" * 10, Rule(21, 3, 5), None),
        ("abcabcab", Rule(1, 3, 5), None),
        ("abcabcabc", Rule(1, 3, 5), Tail(3, 9)),
        ("xabcabcabc", Rule(1, 3, 2), None),
        ("b" + "a" * 9, Rule(9, 3, 5), Tail(1, 9)),
        ("abc" * 3 + "d", Rule(1, 3, 5), None),
        ("", Rule(1, 3, 5), None),
        ("a", Rule(1, 3, 5), None),
        # 4 + 1/3 copies of 3: 13 characters exactly, whatever the product of fractions is rounded to.
        ("xyz" * 4 + "x", Rule(1, 1 + 1 / 0.3, 5), Tail(3, 13)),
        ("yz" + "xyz" * 3 + "x", Rule(1, 1 + 1 / 0.3, 5), None),
    ],
)
def test_limits_are_met_exactly(text: str, rule: Rule, expected: Tail | None) -> None:
    """A loop counts from exactly its minimum length and number of copies on."""
    assert next(tails(text, rule), None) == expected


def test_window_holds_every_loop() -> None:
    """Characters before the window do not change the result."""
    rule = Rule(30, 3.5, 20)
    text = "abcdefghijklmnopqrst" * 9
    assert [tail.period for tail in tails(text[-rule.window :], rule)] == [20]
    assert not list(tails(text[-rule.window + 1 :], rule))


@pytest.mark.parametrize(
    "text",
    [
        "".join("a" * (120 + number * 7 % 46) + "b" for number in range(80)),
        "".join(" " * (190 + number * 7 % 21) + f"{number}\n" for number in range(50)),
        "".join("ab" * (60 + number * 7 % 31) + "c" for number in range(80)),
        "".join("ab"[number.bit_count() % 2] for number in range(10_000)),
    ],
    ids=["runs", "spaces", "pairs", "Thue-Morse"],
)
def test_no_text_makes_a_search_slow(text: str) -> None:
    """A search anywhere in a text that nearly repeats takes far less than three milliseconds on average."""
    rule = Rule(300, 3, 2730)
    text = text[:10_000]
    ends = range(4000, len(text), 29)
    start = time.process_time()
    for end in ends:
        next(tails(text[:end], rule), None)
    assert (time.process_time() - start) / len(ends) < 0.003
