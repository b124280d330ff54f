"""The command line of the benchmarks."""

import sys

import pytest

from tests.bench.__main__ import main


def exit_code(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the exit code of the benchmarks with these arguments."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    return raised.value.code


@pytest.mark.parametrize("arguments", [["--help"], ["repeat", "--help"]])
def test_help_runs_nothing(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lists the benchmarks, or the options of one."""
    assert exit_code(arguments, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "==" not in out
    assert ("--corpus" if len(arguments) > 1 else "throughput") in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "'nonsense' is in no name of a benchmark"),
        (["slow_client", "--rounds", "1"], "tests.bench.bench_slow_client has no options: --rounds 1"),
        (["repeat", "--round", "1"], "unrecognized arguments: --round 1"),
        (["--rounds"], "unrecognized arguments: --rounds"),
    ],
)
def test_mistakes_run_nothing(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the error."""
    assert exit_code(arguments, monkeypatch) == 2
    assert f"error: {message}" in capsys.readouterr().err
