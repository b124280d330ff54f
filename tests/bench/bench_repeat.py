"""The repeat detector: speed and memory on generated text; with --corpus FILE what it finds, by kind and by prefix.

Time is the process's own (other processes share the machine), and only that spent in the detector's `feed`.
"""

import argparse
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median

from moonpalace_addons.wire.loops.repeat import Detector, Loop
from tests.bench.loop_corpus import Sample, read, repeated_data, token_pieces

LOOP_LENGTH = 100_000
SPEED_LENGTH, LONG_LENGTH = 300_000, 10_000_000
ROUNDS = 3
BATCH = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """The command line's options."""

    corpus: Path | None
    threshold: float
    min_length: int

    def detector(self) -> Detector:
        """Return a new detector with these settings."""
        return Detector(self.threshold, self.min_length)


def parsed_options() -> Options:
    """Parse the options after the word on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench repeat")
    parser.add_argument("--corpus", type=Path, help="a corpus of texts and loops, gzipped, one JSON object a line")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--min-length", type=int, default=100)
    parsed = parser.parse_args(sys.argv[2:])
    return Options(parsed.corpus, parsed.threshold, parsed.min_length)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The detector's result for one sample, with its cost in characters and in seconds."""

    sample: Sample
    loop: Loop | None
    length: int
    seconds: float

    @property
    def wasted(self) -> int:
        """Return the number of characters of the loop before it was detected."""
        return self.loop.position - len(self.sample.text) if self.loop else 0


def feed_all(detector: Detector, pieces: Iterator[str]) -> float:
    """Feed pieces until the detector fires; return the seconds, excluding those for making the pieces."""
    seconds = 0.0
    while batch := list(islice(pieces, BATCH)):
        start = time.process_time()
        for piece in batch:
            if detector.feed(piece):
                break
        seconds += time.process_time() - start
        if detector.fired:
            break
    return seconds


def examine(sample: Sample, chosen: Options) -> Outcome:
    """Feed one sample to a new detector."""
    detector = chosen.detector()
    seconds = feed_all(detector, sample.pieces(LOOP_LENGTH))
    return Outcome(sample, detector.fired, detector.length, seconds)


def time_corpus() -> Iterator[str]:
    """Loops found and characters wasted before that, texts interrupted; needs --corpus."""
    chosen = parsed_options()
    if chosen.corpus is None:
        yield "no --corpus given"
        return
    outcomes = [examine(sample, chosen) for sample in read(chosen.corpus)]
    yield f"threshold {chosen.threshold}, min_length {chosen.min_length}"
    loops = [outcome for outcome in outcomes if outcome.sample.generator is not None]
    yield from loop_table(loops)
    for label in ("neg", "contested"):
        yield from interrupted(label, [outcome for outcome in outcomes if outcome.sample.label == label])
    seconds, length = sum(outcome.seconds for outcome in outcomes), sum(outcome.length for outcome in outcomes)
    yield f"speed over all {length / seconds / 1e6:.2f} M characters a second ({length} characters)"


def time_repeated_data() -> Iterator[str]:
    """Which of our own data and code, which repeats itself legitimately, is interrupted."""
    chosen = parsed_options()
    samples = [Sample(name, "data", "neg", text, None) for name, text in repeated_data().items()]
    yield from interrupted("data", [examine(sample, chosen) for sample in samples])


def loop_table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a line for each kind of loop, then for each length of prefix, then one for all."""
    yield f"{'loops':<30}{'found':>9}{'wasted: median':>16}{'p90':>8}{'max':>8}   tests"
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[f"{outcome.sample.label} {outcome.sample.kind}"].append(outcome)
    for outcome in sorted(outcomes, key=lambda outcome: rounded_prefix(outcome.sample)):
        if outcome.sample.label == "pos":
            groups[f"pos, prefix about {rounded_prefix(outcome.sample)}"].append(outcome)
            groups["pos"].append(outcome)
    for name in [*(name for name in groups if name != "pos"), "pos"]:
        yield loop_line(name, groups[name])


def rounded_prefix(sample: Sample) -> int:
    """Return the nearest of the prefix lengths that the corpus contains."""
    return min((0, 200, 2000, 10_000, 30_000), key=lambda length: abs(length - len(sample.text)))


def loop_line(name: str, outcomes: Sequence[Outcome]) -> str:
    """Return one line of the table."""
    wasted = sorted(outcome.wasted for outcome in outcomes if outcome.loop)
    tests = sorted({outcome.loop.test for outcome in outcomes if outcome.loop})
    line = f"{name:<30}{f'{len(wasted)}/{len(outcomes)}':>9}"
    if not wasted:
        return line
    return f"{line}{median(wasted):>16.0f}{wasted[len(wasted) * 9 // 10]:>8}{wasted[-1]:>8}   {' '.join(tests)}"


def interrupted(label: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the number of interrupted texts, and their names."""
    found = [outcome for outcome in outcomes if outcome.loop]
    yield f"{label} interrupted: {len(found)}/{len(outcomes)}"
    for outcome in found:
        yield f"    {outcome.sample.name} {outcome.sample.kind}: {outcome.loop}"


def vocabulary(random: Random, size: int) -> list[str]:
    """Return invented words."""
    return ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 9))) for _ in range(size)]


def texts() -> dict[str, Iterator[str]]:
    """Return endless texts by name: first usual ones, then hard ones for a search for periods."""
    random = Random(7)
    words = vocabulary(random, 3000)
    return {
        "prose": prose(random, words),
        "Chinese": han(random),
        "emoji": (chr(0x1F300 + random.randint(0, 400)) for _ in forever()),
        "JSON": (f'{{"id": {random.getrandbits(20)}, "name": "{random.choice(words)}"}},\n' for _ in forever()),
        "indented": (" " * random.randint(8, 40) + f"{random.choice(words)}()\n" for _ in forever()),
        "digits": (f"{random.randint(0, 9)}," for _ in forever()),
        "lines of 200 spaces": (" " * random.randint(190, 210) + random.choice(words) + "\n" for _ in forever()),
        "runs of a, 120 to 165": ("a" * random.randint(120, 165) + "b" for _ in forever()),
        "runs of a, 250 to 290": ("a" * random.randint(250, 290) + "b" for _ in forever()),
        "runs of ab": ("ab" * random.randint(60, 90) + "c" for _ in forever()),
        "random a and b": (random.choice("ab") for _ in forever()),
        "Fibonacci": iter(fibonacci(SPEED_LENGTH)),
    }


def forever() -> Iterator[None]:
    """Yield None endlessly."""
    while True:
        yield None


def prose(random: Random, words: Sequence[str]) -> Iterator[str]:
    """Yield words and spaces."""
    return (random.choice(words) + " " for _ in forever())


def han(random: Random) -> Iterator[str]:
    """Yield Chinese characters, a few of them far more often than most."""
    return (chr(0x4E00 + min(int(random.expovariate(1 / 400)), 5000)) for _ in forever())


def fibonacci(length: int) -> str:
    """Return the beginning of the Fibonacci word: the most repetitions of any text without four copies."""
    before, word = "a", "ab"
    while len(word) < length:
        before, word = word, word + before
    return word[:length]


def take(parts: Iterator[str], length: int) -> str:
    """Return the first `length` characters."""
    taken: list[str] = []
    while length > 0:
        taken.append(next(parts)[:length])
        length -= len(taken[-1])
    return "".join(taken)


def time_speed() -> Iterator[str]:
    """Characters a second in token-sized pieces, best of three; where it fires, from there on with a new detector."""
    for name, parts in texts().items():
        pieces = list(token_pieces(take(parts, SPEED_LENGTH), Random(1)))
        seconds, loops = min(feed_again_and_again(pieces) for _ in range(ROUNDS))
        yield f"{name:<22} {SPEED_LENGTH / seconds / 1e6:5.2f} M characters a second" + f"   {loops} loops" * (
            loops > 0
        )


def feed_again_and_again(pieces: Sequence[str]) -> tuple[float, int]:
    """Return the seconds and the number of detected loops."""
    chosen, loops = parsed_options(), 0
    detector = chosen.detector()
    start = time.process_time()
    for piece in pieces:
        if detector.feed(piece):
            detector = chosen.detector()
            loops += 1
    return time.process_time() - start, loops


def time_long_stream() -> Iterator[str]:
    """Ten million characters: speed in quarters, and the most memory that the detector takes."""
    random = Random(3)
    for name, unit in (
        ("prose", take(prose(random, vocabulary(random, 3000)), 50_000)),
        ("Chinese", take(han(random), 50_000)),
    ):
        yield f"{name}: {', '.join(long_stream(unit))}"


def long_stream(text: str) -> Iterator[str]:
    """Feed a text repeatedly: its period is too long to be detected, so that no text needs to be made meanwhile."""
    detector = parsed_options().detector()
    pieces = list(token_pieces(text, Random(2)))
    quarter = LONG_LENGTH // 4 // len(text)
    for _ in range(4):
        start = time.process_time()
        for _ in range(quarter):
            for piece in pieces:
                detector.feed(piece)
        yield f"{quarter * len(text) / (time.process_time() - start) / 1e6:.2f} M/s"
    yield f"{detector.length} characters, fired: {detector.fired}"
    for length in (100_000, 1_000_000):
        yield f"memory peak over {length}: {peak_memory(pieces, length) // 1024} KB"


def peak_memory(pieces: Sequence[str], length: int) -> int:
    """Return the peak memory of a detector in bytes."""
    tracemalloc.start()
    detector = parsed_options().detector()
    while detector.length < length:
        for piece in pieces:
            detector.feed(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
