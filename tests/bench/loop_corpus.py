"""Read a corpus of texts and loops for the repeat detector, and cut texts into pieces as small as tokens.

The format: one JSON object a line, gzipped. A text has `id`, `kind`, `label` ("neg" or "contested") and `text`; a loop
has `label` ("pos" or "pos-hard"), `prefix`, `loop_start` and a generator `gen` whose `t` says what follows the prefix.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path
from random import Random
from typing import Any

_HAN = "\u2e80"
_CHINESE_DIGITS = "零一二三四五六七八九"
_ROMAN = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL")]
_ROMAN += [(10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One text, or a loop after its prefix; `generator` is None for a text."""

    name: str
    kind: str
    label: str
    text: str
    generator: dict[str, Any] | None

    def pieces(self, length: int) -> Iterator[str]:
        """Yield the text, and of a loop at least `length` characters after it, in pieces as small as tokens."""
        random = Random(self.name)
        yield from token_pieces(self.text, random)
        if self.generator is not None:
            left = length
            for unit in units(self.generator):
                yield from token_pieces(unit, random)
                left -= len(unit)
                if left <= 0:
                    return


def read(path: Path) -> Iterator[Sample]:
    """Yield the samples of a corpus file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            generator = row.get("gen")
            yield Sample(row["id"], row["kind"], row["label"], row["prefix"] if generator else row["text"], generator)


def repeated_data() -> dict[str, str]:
    """Return data and code that repeats itself legitimately: none of it is a loop."""
    cells = {"zeros": "0", "floats": "0.0", "nulls": "null", "texts": '""'}
    grids = {
        f"{size} rows of {name}": "[\n" + f"    [{', '.join([cell] * size)}],\n" * size + "]\n"
        for name, cell in cells.items()
        for size in (9, 12, 16)
    }
    return grids | {
        "nine rows of 40 zeros": f"[{', '.join('0' * 40)}],\n" * 9,
        "20 rows of 20 zeros": f"        [{', '.join('0' * 20)}],\n" * 20,
        "16 empty values": '        "value": null,\n' * 16,
        "60 empty values": '    "value": null,\n' * 60,
        "16 empty objects": '    {"id": null, "name": null, "tags": []},\n' * 16,
        "a minified list": "[" + ",".join(["null"] * 256) + "]",
        "a list of 256 zeros": f"data = [{', '.join('0' * 256)}]\n",
        "a table of bytes": f"  {' '.join(['00'] * 16)}\n" * 16,
        "rows of CSV": "0,0,0,0,0,0,0,0,0,0\n" * 30,
        "a grid without brackets": f"{' '.join('0' * 20)}\n" * 20,
        "an empty table": f"|{'   |' * 6}\n" * 25,
        "YAML": "- name: x\n  value: null\n" * 30,
        "empty cells of HTML": "  <td></td>\n" * 60,
        "calls": "    step()\n" * 60,
        "assignments": "    total = total + 1\n" * 30,
        "a trace": '  File "a.py", line 2, in f\n    return f(n - 1)\n' * 30,
        "statements": "push();pop();" * 40,
    }


def token_pieces(text: str, random: Random) -> Iterator[str]:
    """Cut a text into pieces of 1 to 8 characters, of 1 to 3 where it is Chinese."""
    start = 0
    while start < len(text):
        size = random.randint(1, 3 if text[start] >= _HAN else 8)
        yield text[start : start + size]
        start += size


def units(generator: dict[str, Any]) -> Iterator[str]:
    """Yield the rounds of a loop endlessly."""
    return _UNITS[generator["t"]](generator)


def _repeat(generator: dict[str, Any]) -> Iterator[str]:
    return cycle([generator["unit"]])


def _counter(generator: dict[str, Any]) -> Iterator[str]:
    start, step = generator.get("start", 1), generator.get("step", 1)
    for index in count():
        number = start + index * step
        down = start + _MILLION - index
        values = {"i": number, "j": number + 1, "d": down, "sq": 2 * down}
        values |= {"s0": _clock(3 * number), "s1": _clock(3 * number + 3), "cn": _chinese(number), "ro": _roman(number)}
        yield _filled(generator["tmpl"], values)


def _slot(generator: dict[str, Any]) -> Iterator[str]:
    random = Random(generator["seed"])
    while True:
        values = {"w": random.choice(generator["words"])}
        if "words2" in generator:
            values["v"] = random.choice(generator["words2"])
        yield _filled(generator["tmpl"], values)


def _shuffle(generator: dict[str, Any]) -> Iterator[str]:
    random = Random(generator["seed"])
    while True:
        yield random.choice(generator["units"])


def _seq(generator: dict[str, Any]) -> Iterator[str]:
    for word in cycle(generator["words"]):
        yield _filled(generator["tmpl"], {"w": word})


def _hex(generator: dict[str, Any]) -> Iterator[str]:
    random = Random(generator.get("seed", 0))
    while True:
        yield _filled(generator["tmpl"], {"h": f"{random.getrandbits(128):032x}"})


def _grow(generator: dict[str, Any]) -> Iterator[str]:
    for index in count():
        yield generator["a"] + generator["b"] * index + generator["c"]


_UNITS: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
    "repeat": _repeat,
    "counter": _counter,
    "slot": _slot,
    "shuffle": _shuffle,
    "seq": _seq,
    "hex": _hex,
    "grow": _grow,
}


def _filled(template: str, values: dict[str, Any]) -> str:
    # Not str.format: the templates hold JSON.
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", str(value))
    return template


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},000"


def _chinese(number: int) -> str:
    text = ""
    for place, digit in zip(("千", "百", "十", ""), islice(f"{number % 10_000:04}", 4), strict=True):
        if digit != "0":
            text += _CHINESE_DIGITS[int(digit)] + place
        elif text and not text.endswith("零"):
            text += "零"
    return text.rstrip("零") or "零"


def _roman(number: int) -> str:
    text = ""
    for value, letters in _ROMAN:
        text += letters * (number // value)
        number %= value
    return text
