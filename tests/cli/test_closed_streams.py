"""Tests that commands work, or explain why not, with closed or full standard streams."""

import subprocess
import sys

import pytest

from tests.cli.conftest import Store

UNWRITABLE = "Error: cannot write the output: Bad file descriptor\n"
FULL = "Error: cannot write the output: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "streams", "code", "error"),
    [
        ("list", ">&-", 1, UNWRITABLE),
        ("inspect --last --json", "<&- >&-", 1, UNWRITABLE),
        ("export --last", ">&-", 1, UNWRITABLE),
        ("--help", ">&-", 1, UNWRITABLE),
        ("list", ">/dev/full", 1, FULL),
        ("list", ">&- 2>&-", 1, ""),
        ("list", "<&- 2>&-", 0, ""),
        ("list --nonsense", ">/dev/full 2>/dev/full", 2, ""),
    ],
)
def test_closed_streams(store: Store, arguments: str, streams: str, code: int, error: str) -> None:
    """Output that cannot be written is a one-line error; messages that cannot be written are ignored."""
    store.add()
    command = f'exec "$0" -m moonpalace_cli.main {arguments} {streams}'
    done = subprocess.run(["/bin/sh", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, error)
    assert bool(done.stdout) is (code == 0)
