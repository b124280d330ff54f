"""Which units belong to data or code, and which to prose."""

from moonpalace_addons.wire.loops.data_text import looks_like_data
from tests.tables import for_each

DATA = [
    "0, ",
    "0,",
    "null,",
    "0.0 ",
    "00 ",
    "0\n",
    "[0, 0, 0],\n",
    '"value": null,\n',
    '"N/A", ',
    "| | |\n",
    "|---",
    "<td></td>\n",
    "    step()\n",
    "i += 1\n",
    "x = x;\n",
    "  value: null\n",
    "- a: b\n",
    "}\n",
]
PROSE = [
    "a",
    "0",
    "00",
    "-",
    "=",
    "\n",
    "word ",
    "ha, ha. ",
    "and then he said that ",
    "I have completed the task. I will now mark this session as complete.\n  ",
    'He said "no", and "yes". Again: no? ',
    "Note: this is a long line of prose.\n",
    "In 2024, 3 of 5 tests failed (2 of them twice). ",
    "It cost 1,000 and 2.5 times that; so we left. ",
    "臣妾是甄嬛，家父是大理寺少卿甄远道。",
    "第一：好的，继续；",
    "👍🏻 ",
    "e.g. this/that - or (perhaps) those ",
    "import numpy as np\n",
]


@for_each("unit", DATA)
def test_data_wherever_it_is_cut(unit: str) -> None:
    """Numbers in rows, keys, brackets, calls and assignments are data, whichever character a unit begins with."""
    for start in range(len(unit)):
        assert looks_like_data(unit[start:] + unit[:start])


@for_each("unit", PROSE)
def test_prose_wherever_it_is_cut(unit: str) -> None:
    """Sentences, separators and single characters are not data, with any punctuation of prose."""
    for start in range(len(unit)):
        assert not looks_like_data(unit[start:] + unit[:start])
