"""Tests of colours."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.text import colours
from moonpalace_cli.text.colours import FAINT, KEY, NUMBER, RESET, STRING, WORD
from moonpalace_cli.text.tables import STYLE, cut


def marked(text: str) -> str:
    """Return the text with a letter for each colour."""
    for letter, colour in (("k", KEY), ("s", STRING), ("n", NUMBER), ("w", WORD), ("f", FAINT)):
        text = text.replace(colour, f"<{letter}:")
    return text.replace(RESET, ">")


@pytest.mark.parametrize(
    ("line", "painted"),
    [
        ('    "a": "b",', '    <k:"a">: <s:"b">,'),
        ('"a": -1.5e+3', '<k:"a">: <n:-1.5e+3>'),
        ("true,", "<w:true>,"),
        ('"tru\\"e null 1"', '<s:"tru\\"e null 1">'),
        ('{"a":{"b":[1,null]}}', '{<k:"a">:{<k:"b">:[<n:1>,<w:null>]}}'),
        ("", ""),
    ],
)
def test_json(line: str, painted: str) -> None:
    """Keys, strings, numbers and words have different colours."""
    assert [marked(piece) for piece in colours.paint_pieces([line])] == [painted]


def test_pieces_of_a_line() -> None:
    """A string that is cut is coloured in both pieces; each piece ends without a colour."""
    assert [marked(piece) for piece in colours.paint_pieces(['"ab', 'c": "d', 'e"'])] == [
        '<k:"ab>',
        '<k:c">: <s:"d>',
        '<s:e">',
    ]


@given(st.text(alphabet='"\\{}[]:,ab1 truenl中', max_size=60), st.integers(1, 9))
def test_only_colours_are_added(line: str, width: int) -> None:
    """Whatever the line and its cuts, without the colours it is unchanged."""
    pieces = cut(line, width)
    assert [STYLE.sub("", piece) for piece in colours.paint_pieces(pieces)] == pieces


def test_bodies_and_messages() -> None:
    """Events have faint fields and coloured JSON; other text is unchanged; headers have coloured names."""
    assert marked(colours.paint_body('event: x\ndata: {"a": 1}\n\ndata: [DONE]')) == (
        '<f:event:> x\n<f:data:> {<k:"a">: <n:1>}\n\n<f:data:> [DONE]'
    )
    assert colours.paint_body('He said "no" 3 times\n') == 'He said "no" 3 times\n'
    message = marked(colours.paint_message('HTTP/1.1 200 OK\nA-b: "c"\n\n{\n    "d": 1\n}'))
    assert message.endswith('<k:A-b:> "c"\n\n{\n    <k:"d">: <n:1>\n}')


@pytest.mark.parametrize(
    ("variables", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_when(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, wanted: bool) -> None:
    """Only a terminal gets colours, and none if NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(colours, "is_terminal", lambda: terminal)
    assert colours.wanted() is wanted
    assert colours.wanted(sys.stderr) is False


def test_the_last_colour_is_always_taken_back() -> None:
    """Every line resets its colour."""
    for line in colours.paint_body('{\n    "a": ["b", true]\n}').split("\n"):
        assert len(re.findall("\x1b", line)) == 2 * line.count(RESET)
