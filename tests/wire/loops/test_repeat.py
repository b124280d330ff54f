"""The detector finds loops early, ignores other texts, and does not depend on how a text is cut."""

import time
import tracemalloc
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonpalace_addons.wire.loops import repeat
from moonpalace_addons.wire.loops.repeat import Detector, Loop
from tests.bench.loop_corpus import repeated_data
from tests.tables import for_each

WORDS = [
    "the",
    "a",
    "of",
    "river",
    "under",
    "light",
    "moves",
    "stone",
    "because",
    "we",
    "they",
    "often",
    "green",
    "old",
    "house",
    "never",
    "found",
    "walked",
    "slowly",
]


def prose(seed: int, length: int) -> str:
    """Return sentences of few words in random order, with names that do not come again."""
    random = Random(seed)
    text = ""
    while len(text) < length:
        name = "".join(random.choices("bcdfgklmnprst", k=5)) + random.choice("aeiou")
        text += " ".join(random.choices(WORDS, k=8)).capitalize() + f" {name}. "
    return text[:length]


def pieces(text: str, size: int) -> list[str]:
    """Cut a text into pieces of a size."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def shuffled(sentences: list[str], number: int) -> str:
    """Return sentences in random order."""
    random = Random(1)
    return "".join(random.choice(sentences) for _ in range(number))


EXACT = {
    "character": "G" * 1000,
    "spaces": " " * 1000,
    "line ends": "\n" * 1000,
    "word": "word " * 300,
    "sentence": "I will check the code once more to be sure. " * 40,
    "Chinese": "我再检查一遍代码。" * 120,
    "emoji": "👩‍💻🎉" * 200,
    "separator": "-" * 1000,
    "digits": "0" * 1000,
}
DATA = {
    "table row": "| | | |\n" * 400,
    "JSON": '{"name": "item", "value": null}, ' * 100,
    "zeros": "0, " * 1000,
    "code": "        self.value = self.value + 1\n" * 100,
}
COUNTING = {
    "list": "".join(f"{number}. Improve the design.\n" for number in range(200)),
    "steps": "".join(f"第{number}步：检查结果是否正确。\n" for number in range(200)),
}
NEAR = {
    "sentences": shuffled(["I'll do it. ", "Let me start. ", "I'll write the code. ", "OK. ", "Let's go. "], 800),
    "one word": shuffled([f"I think {word} is the best choice here. " for word in ("Go", "Rust", "Java", "C")], 300),
}
TEXTS = {
    "prose": prose(2, 20_000),
    "code": "".join(f"    def test_{name}(self):\n        self.assertEqual({name}(), {name!r})\n\n" for name in WORDS),
    "separators": "".join(f"{'=' * 79}\n{prose(seed, 300)}\n{'=' * 79}\n" for seed in range(20)),
    "refrain": "".join(prose(seed, 200) + "\n" + "Oh the river runs to the sea,\n" * 4 for seed in range(20)),
    "table": "".join(f"| {number} | {number * 3} | yes | no |\n" for number in range(30)),
    "registers": "".join(f"    uint32_t r{number};\n" for number in range(32)),
    "numbers": "".join(f"{number}\n" for number in range(1, 3000)),
    "JSON": "".join(f'{{"id": {seed}, "name": "{prose(seed, 12)}", "tags": []}},\n' for seed in range(300)),
    "base64": "".join(Random(3).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0123456789+/", k=10_000)),
    "indentation": "".join(" " * 60 + f"{prose(seed, 9)}()\n" for seed in range(200)),
    "hello": "Hello World\n" * 25,
    "Chinese": "".join(chr(0x4E00 + number * number * 7 % 2999) for number in range(10_000)),
}
TEXTS |= {f"data: {name}": prose(13, 400) + text + prose(14, 400) for name, text in repeated_data().items()}
LOOPS = EXACT | DATA | COUNTING | NEAR


def detect(text: str, threshold: float = 0.5, min_length: int = 100) -> Loop | None:
    """Feed a whole text to a new detector."""
    return Detector(threshold, min_length).feed(text)


@for_each("prefix", [0, 1, 200, 2000, 30_000])
@for_each("name", EXACT)
def test_exact_loops_are_found_at_once(name: str, prefix: int) -> None:
    """An exact repetition is found within three copies or 300 characters, however much came before."""
    loop = detect(prose(4, prefix) + EXACT[name])
    assert loop is not None
    assert loop.test == "period"
    assert 300 <= loop.position - prefix <= 300 + 24
    assert loop.period == len(loop.sample)
    assert loop.sample * 2 in EXACT[name]


@pytest.mark.parametrize("prefix", [0, 2000, 30_000])
@pytest.mark.parametrize("name", DATA)
def test_loops_of_data_are_found_later(name: str, prefix: int) -> None:
    """A repetition of data or code is found within 2,000 characters: fewer repetitions are legitimate."""
    loop = detect(prose(4, prefix) + DATA[name])
    assert loop is not None
    assert loop.test == "period"
    assert 2000 <= loop.position - prefix <= 2000 + 24


@for_each("prefix", [0, 200, 10_000])
@for_each(("test", "name"), [("counter", name) for name in COUNTING] + [("near", name) for name in NEAR])
def test_changing_loops_are_found(test: str, name: str, prefix: int) -> None:
    """Loops that count or vary are found within some thousand characters, by the test for their kind."""
    loop = detect(prose(5, prefix) + LOOPS[name])
    assert loop is not None
    assert loop.test == test
    assert loop.position - prefix < 6000
    assert loop.period is None
    assert 0 < len(loop.sample) <= 200


@for_each("name", TEXTS)
def test_other_text_is_left_alone(name: str) -> None:
    """Texts with ordinary repetitions are not interrupted."""
    assert detect(TEXTS[name]) is None


@pytest.mark.parametrize("name", LOOPS)
def test_cutting_makes_no_difference(name: str) -> None:
    """The same loop is found at the same place for pieces of any size."""
    text = prose(6, 3000) + LOOPS[name]
    expected = detect(text)
    assert expected is not None
    for size in (1, 3, 7, 16, 255, 4096):
        detector = Detector(0.5, 100)
        loops = [loop for piece in pieces(text, size) if (loop := detector.feed(piece))]
        assert (loops, detector.fired, detector.length) == ([expected], expected, len(text)), size


@given(st.data())
@settings(max_examples=60)
def test_any_cutting_makes_no_difference(data: st.DataObject) -> None:
    """Wherever a text is cut, with empty pieces, the result is that for the whole text."""
    unit = data.draw(st.text("ab 1", min_size=1, max_size=12))
    text = prose(7, data.draw(st.integers(0, 400))) + unit * (2200 // len(unit))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=30)))
    detector = Detector(0.5, 100)
    loops = [detector.feed(text[start:end]) for start, end in pairwise([0, *cuts, len(text)])]
    assert [loop for loop in loops if loop] == [detect(text)]


def brute_force(text: str, shortest: int, copies: float) -> int | None:
    """Return where the period test should trigger, by trying every period at every 16th character."""
    for end in range(112, len(text) + 1, 16):
        for period in range(1, min(2730, int(end / copies)) + 1):
            length = max(shortest, int(copies * period))
            if length <= end and text[end - length : end - period] == text[end - length + period : end]:
                return end
    return None


def test_periods_agree_with_brute_force() -> None:
    """Searches that are skipped for speed would find nothing: texts of two letters that nearly repeat."""
    for seed in range(25):
        random = Random(seed)
        text = ""
        while len(text) < 1600:
            unit = "".join(random.choices("ab", k=random.choice([1, 2, 5, 20, 90])))
            text += (unit * 300)[: random.randint(1, random.choice([20, 299, 340]))]
        loop = detect(text)
        assert (loop.position if loop else None) == brute_force(text, 300, 3), seed


def test_no_search_before_a_loop_can_be_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a `min_length` of 100 a loop has 300 characters, so the first search is at the next 16th one."""
    searched: list[int] = []

    def note(text: str, *_: int) -> int:
        searched.append(len(text))
        return 0

    monkeypatch.setattr(repeat, "nearest_repeat", note)
    Detector(0.5, 100).feed("a" * 400)
    assert searched == [304, 400]


def test_fires_once() -> None:
    """After the first loop nothing is reported, but characters are still counted."""
    detector = Detector(0.5, 100)
    first = detector.feed("ha " * 200)
    assert first == Loop("period", 304, 3, first.sample if first else "")
    assert detector.feed("ha " * 200) is None
    assert detector.fired is first
    assert detector.length == 1200


@for_each("name", LOOPS)
def test_threshold_of_nothing_never_fires(name: str) -> None:
    """With a threshold of 0 no loop is ever found."""
    assert detect(LOOPS[name], threshold=0) is None


@for_each("name", LOOPS)
def test_nothing_fires_before_min_length(name: str) -> None:
    """A loop is only reported after more than `min_length` characters, but soon afterwards."""
    text = (LOOPS[name] * 20)[:20_000]
    for min_length in (0, 100, 301, 1000, 3000):
        loop = detect(text, min_length=min_length)
        assert loop is not None
        assert loop.position > min_length


@pytest.mark.parametrize("name", LOOPS)
def test_threshold_is_monotonic(name: str) -> None:
    """A higher threshold finds the same loop as early or earlier, and the extremes differ."""
    text = prose(8, 500) + LOOPS[name] * 20
    loops = [detect(text, threshold) for threshold in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 7.0)]
    positions = [loop.position if loop else len(text) for loop in loops]
    assert positions == sorted(positions, reverse=True)
    assert positions[-1] == positions[-2]


@pytest.mark.parametrize("name", LOOPS)
def test_min_length_is_monotonic(name: str) -> None:
    """A higher min_length finds the same loop as late or later."""
    text = prose(9, 500) + LOOPS[name] * 20
    loops = [detect(text, min_length=length) for length in (0, 20, 100, 300, 1000, 4000, 5000, 6000)]
    positions = [loop.position if loop else len(text) for loop in loops]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("threshold", "min_length", "expected"),
    [
        (1.0, 100, 304),
        (0.5, 0, 256),
        (0.5, 20, 272),
        (0.3, 20, 272),
        (0.5, 300, 400),
        (0.5, 1000, 1008),
        (0.02, 0, 256),
    ],
)
def test_short_units_fire_at_the_least_length(threshold: float, min_length: int, expected: int) -> None:
    """A loop of short units has at least 250 characters and half of `min_length`, rounded up to 16."""
    loop = detect("ab" * 3000, threshold, min_length)
    assert loop is not None
    assert loop.position == expected


@pytest.mark.parametrize(("threshold", "copies"), [(1.0, 2), (0.5, 3), (0.25, 5), (0.1, 11)])
def test_long_units_fire_at_their_copies(threshold: float, copies: int) -> None:
    """A unit of 500 characters needs one copy and then one divided by the threshold."""
    loop = detect(prose(10, 500) * 20, threshold)
    assert loop is not None
    assert loop.period == 500
    assert 0 <= loop.position - 500 * copies < 16


@pytest.mark.parametrize("threshold", [5e-324, 1e-9, 0.001, 0.02])
def test_lowest_thresholds_are_safe(threshold: float) -> None:
    """The smallest thresholds work and only find a character that never stops."""
    assert detect(LOOPS["sentence"], threshold) is None
    loop = detect("a" * 2000, threshold)
    assert loop is not None
    assert loop.position <= 1008


def test_sample_is_short() -> None:
    """The sample of a long unit is its last 200 characters."""
    text = prose(11, 1500)
    loop = detect(text * 4)
    assert loop is not None
    assert loop.period == 1500
    assert len(loop.sample) == 200
    assert loop.sample in text * 2


def test_huge_min_length_only_delays() -> None:
    """A min_length far beyond any answer neither triggers early nor requires a loop longer than 2,250."""
    detector = Detector(0.5, 50_000)
    assert detector.feed(prose(12, 47_000) + "no " * 500) is None
    loop = detector.feed("no " * 2000)
    assert loop is not None
    assert 50_000 < loop.position <= 50_016


@pytest.mark.parametrize("threshold", [0.05, 0.5])
@pytest.mark.parametrize("kind", ["prose", "numbers", "Chinese"])
def test_memory_is_bounded(kind: str, threshold: float) -> None:
    """A long text takes under 1 MB, with numbers under 4 MB, at a threshold of 0.05 twice that."""
    texts = {
        "prose": [prose(seed, 5000) for seed in range(20)],
        "numbers": ["".join(f"{Random(seed).randint(0, 10**9)} x{seed}; " for _ in range(300)) for seed in range(20)],
        "Chinese": ["".join(chr(0x4E00 + at * at * seed % 2999) for at in range(5000)) for seed in range(1, 21)],
    }[kind]
    detector = Detector(threshold, 100)
    tracemalloc.start()
    while detector.length < 100_000:
        for text in texts:
            for start in range(0, len(text), 50):
                detector.feed(text[start : start + 50])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (4_000_000 if kind == "numbers" else 1_000_000) * (2 if threshold < 0.1 else 1)


@pytest.mark.parametrize("name", ["prose", "JSON", "indentation"])
def test_time_is_linear(name: str) -> None:
    """The last characters of a long text take no longer than the first ones."""
    detector = Detector(0.5, 100)
    text = (TEXTS[name] * 20)[:50_000]
    seconds = []
    for _ in range(8):
        start = time.process_time()
        for at in range(0, len(text), 5):
            detector.feed(text[at : at + 5])
        seconds.append(time.process_time() - start)
    assert min(seconds[4:]) < 3 * min(seconds[:4])
