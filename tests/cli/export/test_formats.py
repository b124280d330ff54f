"""Tests of the table of formats."""

import json
from collections.abc import Callable

import click
import pytest

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.commands.export import REPORT, command
from moonpalace_cli.export.formats import FORMATS

CHAT = b'{"messages": [{"role": "user", "content": "<b>\\u00e9</b>"}]}'
ANSWER = b'{"choices": [{"message": {"content": "x"}}]}'


def test_the_flag_offers_all_of_them() -> None:
    """`--format` has every format; a report also has a flag, because it is redacted."""
    (option,) = [option for option in command.params if option.name == "form"]
    assert isinstance(option.type, click.Choice)
    assert {*option.type.choices, REPORT} == FORMATS.keys()


@pytest.mark.parametrize("name", FORMATS)
def test_several_calls_make_one_text(call: Callable[..., Call], name: str) -> None:
    """Between opening and closing, with separators, several calls are valid in the format."""
    form = FORMATS[name]
    stream = b"data: {}\n\n" if name == "events" else None
    texts = [form.text(call(CHAT, ANSWER, stream, id=number), "utf-8") for number in (1, 2)]
    whole = form.opening + form.separator.join(texts) + form.closing
    if form.ending in (".json", ".har"):
        json.loads(whole)
    elif form.ending == ".jsonl":
        assert len([json.loads(line) for line in whole.splitlines()]) == 2
    elif form.ending == ".py":
        compile(whole, name, "exec")
    else:
        assert whole.count(texts[0].partition("\n")[0]) >= 1


def test_encoding() -> None:
    """Characters that UTF-8 cannot encode are escaped: for JSON in JSON, for Python elsewhere."""
    assert FORMATS["json"].encode("中\ud800") == "中\\ud800".encode()
    assert FORMATS["python"].encode("'\ud800'") == b"'\\ud800'"
