"""Run a command of `mpal` in a process of its own, because reading the store would hold up the calls."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

TIMEOUT = 60.0
"""Seconds after which a command is ended."""
MAX_OUTPUT = 100_000
"""Characters of its output that are shown."""
PROGRAM = "import sys; from moonpalace_cli.main import main; sys.exit(main(sys.argv[1:]))"
PLACES = [str(folder) for folder in Path(__file__).parents[1:4]]
"""Where `moonpalace_cli` may be: beside this package once it is installed, beside `addons` in a checkout."""


async def run(arguments: Sequence[str], database: str) -> tuple[str, bool]:
    """Return what `mpal` says, and whether it succeeded; it works on this database."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", PROGRAM, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"MOONPALACE_DATABASE": database, "PYTHONPATH": search_path(), "PYTHONIOENCODING": "utf-8"},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"ended after {TIMEOUT:.0f} s", False
    return output.decode("utf-8", "replace").strip()[:MAX_OUTPUT], process.returncode == 0


def search_path() -> str:
    """Return the folders in which the process finds its modules."""
    return os.pathsep.join([path for path in sys.path if path] + PLACES)
