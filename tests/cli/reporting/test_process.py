"""Tests of the cost of the rules' process."""

import os
import subprocess
import sys

import pytest

from moonpalace_cli.reporting import __main__ as process


@pytest.mark.parametrize(("spent", "seconds"), [(0.0, 5.0), (0.05, 5.0), (0.4, 20.0), (9.0, 60.0)])
def test_turns_that_take_long_are_seldom(spent: float, seconds: float) -> None:
    """A turn is followed by a pause that keeps its share of a processor small, within limits."""
    assert process.pause(spent) == pytest.approx(seconds)


def test_it_imports_what_it_needs() -> None:
    """A process whose rules find nothing imports neither redaction nor receivers."""
    program = (
        "import sys, moonpalace_cli.reporting.running; "
        "print([name for name in sys.modules if name.startswith(('moonpalace_cli.redaction', 'moonpalace_cli.export', "
        "'moonpalace_cli.reporting.receivers', 'moonpalace_addons.wire.faces'))])"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, check=True
    )
    assert ended.stdout == b"[]\n"
