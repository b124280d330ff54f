"""Run a command of `mpal` in a separate process, because reading the store would delay calls."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from moonpalace_addons.settings.values import Settings

TIMEOUT = 60.0
"""Seconds after which a command is killed."""
MAX_OUTPUT = 100_000
"""Maximum characters of its output that are shown."""
PROGRAM = "import sys; from moonpalace_cli.main import main; sys.exit(main(sys.argv[1:]))"
PLACES = [str(folder) for folder in Path(__file__).parents[1:4]]
"""Folders that may contain `moonpalace_cli`: next to this package if installed, next to `addons` in a checkout."""


async def run(arguments: Sequence[str], settings: Settings, patience: float = TIMEOUT) -> tuple[str, bool]:
    """Run `mpal` with these settings; return its output and whether it succeeded. Kill it if cancelled."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", PROGRAM, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | variables(settings),
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), patience)
    except TimeoutError:
        return f"ended after {patience:.0f} s", False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return shortened(output.decode("utf-8", "replace").strip()), process.returncode == 0


def shortened(output: str) -> str:
    """Cut the middle out of a long output: the result is at its end."""
    if len(output) <= MAX_OUTPUT:
        return output
    return f"{output[: MAX_OUTPUT // 2]}\n[...]\n{output[-MAX_OUTPUT // 2 :]}"


def variables(settings: Settings) -> dict[str, str]:
    """Return environment variables that pass on the settings which may come from mitmproxy's options."""
    values = {
        "DATABASE": settings.database,
        "CONFIG": settings.config_file,
        "ENDPOINT": settings.endpoint,
        "UPSTREAM_CA": settings.upstream_ca,
        "UPSTREAM_PROXY": "none" if settings.explain.proxy == "" else settings.explain.proxy,
        "REDACT_PATTERN": settings.redact_pattern,
        "IDLE_TIMEOUT": f"{settings.idle_timeout:g}",
    }
    environment = {f"MOONPALACE_{name}": str(value) for name, value in values.items() if value is not None}
    return environment | {"PYTHONPATH": search_path(), "PYTHONIOENCODING": "utf-8"}


def search_path() -> str:
    """Return the `PYTHONPATH` of the process."""
    return os.pathsep.join([path for path in sys.path if path] + PLACES)
