"""Tests of `mpal completion`."""

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import Mpal


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "_MPAL_COMPLETE=bash_complete"), ("zsh", "#compdef mpal"), ("fish", "complete")]
)
def test_scripts(mpal: Mpal, shell: str, mark: str) -> None:
    """Each shell gets a script that asks mpal itself."""
    result = mpal("completion", shell)
    assert result.code == 0
    assert mark in result.out
    assert "_MPAL_COMPLETE" in result.out


def test_help_has_a_line_for_each_shell(mpal: Mpal) -> None:
    """For each shell the help has a line with the file for its script."""
    lines = [line.strip() for line in mpal("completion", "--help").out.splitlines()]
    assert "bash:  mpal completion bash > ~/.local/share/bash-completion/completions/mpal" in lines
    assert "fish:  mpal completion fish > ~/.config/fish/completions/mpal.fish" in lines


@pytest.mark.parametrize("shell", ["powershell", "tcsh"])
def test_other_shells(mpal: Mpal, shell: str) -> None:
    """An unsupported shell gives a list of the supported ones."""
    result = mpal("completion", shell)
    message = f"Error: no completion for {shell}: only for bash, zsh, fish (see mpal completion --help)\n"
    assert (result.code, result.out, result.err) == (2, "", message)


@pytest.mark.parametrize(
    ("words", "word", "offered"),
    [
        ("mpal ins", "1", {"inspect"}),
        ("mpal list --ch", "2", {"--chatonly"}),
        ("mpal export --g", "2", {"--good", "--grep"}),
        ("mpal list --columns id,finish_r", "3", {"id,finish_reason"}),
        ("mpal list --columns zzz", "3", set()),
        ("mpal list --sort finish_r", "3", {"finish_reason"}),
        ("mpal list -p 'id > 1 && finish_r", "3", {"id > 1 && finish_reason"}),
        ("mpal inspect --print metadata,err", "3", {"metadata,error"}),
        ("mpal inspect --print metadata,met", "3", set()),
    ],
)
def test_completions(words: str, word: str, offered: set[str]) -> None:
    """Commands, their flags, and the names of columns, fields and parts are completed."""
    environment = os.environ | {"_MPAL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": word}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    ran = subprocess.run(
        [sys.executable, "-m", "moonpalace_cli.main"], env=environment, capture_output=True, text=True, check=False
    )
    assert {line.partition(",")[2] for line in ran.stdout.splitlines() if line} == offered, ran.stderr
