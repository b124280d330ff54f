"""Lists and screens on terminals: no line is too wide, no word is broken, nothing is wrapped needlessly."""

import io
import json
import re
import sys
from collections.abc import Sequence
from random import Random
from string import ascii_lowercase

import pytest
from wcwidth import wcswidth

from moonpalace_addons.store.state import State
from moonpalace_cli.main import main
from moonpalace_cli.text.tables import STYLE
from tests.cli.conftest import Store

RANDOM = Random(7)
ENGLISH = " ".join("elephant " + "".join(RANDOM.choices(ascii_lowercase, k=RANDOM.randint(2, 9))) for _ in range(40))
CHINESE = "月亮上的玉兔为什么总是在捣药，" * 20
COMMANDS = (
    ["log"],
    ["list"],
    ["list", "--verbose"],
    ["list", "--columns", "id,model,note,tokens,latency,requested_at"],
    ["show", "--last", "4"],
    ["why", "--last", "4"],
)


class Terminal(io.TextIOWrapper):
    """A terminal in some encoding."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def add_calls(store: Store) -> None:
    """Store calls that succeeded, were cut off, were refused and timed out, in two languages."""
    for text in (ENGLISH, CHINESE):
        request = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
        response = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
        store.add(request=request, response=response, finish_reason="length", note=" ".join(text.split()[:9]))
        store.add(
            request=request,
            response=None,
            state=State.CLIENT_DISCONNECTED,
            error_kind="client_disconnected",
            warnings=(" ".join(text.split()[:40]), "nothing came from upstream for the last 3.0 s"),
        )


def shown(arguments: Sequence[str], encoding: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that a command prints on a terminal, without colours."""
    terminal = Terminal(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(arguments) == 0
    sys.stdout.flush()
    assert isinstance(terminal.buffer, io.BytesIO)
    return STYLE.sub("", terminal.buffer.getvalue().decode(encoding)).splitlines()


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}], ids=["colours", "plain"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [80, 200])
def test_terminals(
    width: int, encoding: str, variables: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines fit, words are whole or cut with a mark, and frames are straight, also in Chinese and without UTF-8."""
    for name, value in ({"COLUMNS": str(width), "TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    add_calls(store)
    for arguments in COMMANDS:
        lines = shown(arguments, encoding, monkeypatch)
        assert [line for line in lines if wcswidth(line) > width] == [], arguments
        words = {word for line in lines for word in re.findall(r"[a-z]*(?:eleph|hant)[a-z]*[…~]?", line)}
        assert {word for word in words if word[-1] not in "…~"} <= {"elephant"}, arguments
        frame = [line for line in lines if line.startswith(("|", "+"))]
        assert len({wcswidth(line) for line in frame}) <= 1, arguments


def test_nothing_wraps_that_need_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a wide terminal each call is one line, ids are whole, and the user's words are shown."""
    monkeypatch.setenv("COLUMNS", "200")
    add_calls(store)
    assert len(shown(["list"], "utf-8", monkeypatch)) == 4 + 4  # four lines of the frame, four calls
    lines = shown(["log"], "utf-8", monkeypatch)
    assert len(lines) == 4
    assert [line for line in lines if '"' not in line] == []
    assert "…" not in "".join(shown(["list"], "utf-8", monkeypatch))
