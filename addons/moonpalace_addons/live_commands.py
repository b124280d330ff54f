"""Commands of mitmweb and of mitmproxy's console that act on the stored calls of flows."""

import asyncio
import logging
from collections.abc import Sequence

from mitmproxy import command, ctx, types
from mitmproxy.exceptions import CommandError
from mitmproxy.flow import Flow
from mitmproxy.log import ALERT

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.live import kept, mpal
from moonpalace_addons.mitm import console

logger = logging.getLogger(__name__)

KEYS = (
    ("t", "moonpalace.row @focus", "Show the stored call"),
    ("T", "console.command moonpalace.label @focus ", "Label the stored call"),
    ("y", "moonpalace.curl @focus", "Show the stored call as a curl command"),
    ("Y", "moonpalace.explain @focus", "Have a model explain the stored call"),
    ("s", "console.command moonpalace.export @focus ", "Export the stored call to a folder"),
)
"""Keys of the console that mitmproxy does not use in the list of flows and in a flow."""
CATEGORIES = ("good", "bad")
ANSWERS = ("yes", "again")
"""The words that the user may pass to `moonpalace.explain`."""
EXPLAINING_TIMEOUT = 3600.0
"""Seconds: the model that explains has its own limits."""
MAX_NAMED = 3
"""Maximum calls that the log lists by their numbers."""
QUITTING_TIMEOUT = 5.0
"""Seconds that mitmproxy waits at its end for running commands."""


class LiveCommands:
    """Run `mpal` on the calls of flows, in the background, and log its output; the console shows longer texts."""

    name = "moonpalace-commands"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._tasks: set[asyncio.Task[None]] = set()

    def running(self) -> None:
        """Bind keys, if this is the console."""
        if console.is_console():
            console.bind_keys(ctx.master.keymap, KEYS)  # type: ignore[attr-defined]

    async def done(self) -> None:
        """Wait for the running commands, and kill those that take long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=QUITTING_TIMEOUT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @command.command("moonpalace.row")  # type: ignore[untyped-decorator]
    def row(self, flows: Sequence[Flow]) -> None:
        """Show the stored calls of flows, as mpal show does."""
        self._start("show", flows)

    @command.command("moonpalace.label")  # type: ignore[untyped-decorator]
    def label(self, flows: Sequence[Flow], *labels: str) -> None:
        """Label the stored calls of flows: good, bad, and any other word as a tag."""
        if not labels:
            raise CommandError("name the labels: good, bad, or any tag")
        self._start("label", flows, *(f"--{each}" if each in CATEGORIES else f"--tag={each}" for each in labels))

    @command.command("moonpalace.export")  # type: ignore[untyped-decorator]
    def export(self, flows: Sequence[Flow], folder: types.Path) -> None:
        """Export the stored calls of flows to a folder, a file for each."""
        self._start("export", flows, f"--directory={folder}")

    @command.command("moonpalace.curl")  # type: ignore[untyped-decorator]
    def curl(self, flows: Sequence[Flow]) -> None:
        """Show the stored calls of flows as curl commands."""
        self._start("export", flows, "--curl")

    @command.command("moonpalace.explain")  # type: ignore[untyped-decorator]
    def explain(self, flows: Sequence[Flow], *answers: str) -> None:
        """Have a model explain the stored calls of flows: the first time, only show what would be sent to it.

        With "yes" it is sent; with "again" the model is asked again although there is an explanation.
        """
        words = [each.removeprefix("--") for each in answers]
        if not set(words) <= set(ANSWERS):
            raise CommandError(f"say {' or '.join(ANSWERS)}, or nothing")
        self._start("explain", flows, *(f"--{each}" for each in words), patience=EXPLAINING_TIMEOUT)

    def _start(self, command: str, flows: Sequence[Flow], *more: str, patience: float = mpal.TIMEOUT) -> None:
        """Start a command of `mpal`."""
        stored = {
            uuid: row for flow in flows if (row := kept.row_of(flow)) is not None and (uuid := kept.uuid_of(flow))
        }
        if not stored:
            raise CommandError("none of these flows is a stored call")
        names = [f"#{row}" for row in stored.values()]
        about = " ".join(["mpal", command, *(names if len(names) <= MAX_NAMED else [f"({len(names)} calls)"]), *more])
        # By uuid, because a flow from a file may have a row number of another store.
        task = asyncio.get_running_loop().create_task(self._run(about, [command, *stored, *more], patience))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, about: str, arguments: Sequence[str], patience: float) -> None:
        logger.log(ALERT, "%s …", about)
        try:
            output, is_done = await mpal.run(arguments, self.configuration.settings, patience)
            is_shown = is_done and "\n" in output and console.is_console()
            logger.log(logging.INFO if is_shown else ALERT if is_done else logging.WARNING, "%s: %s", about, output)
            if is_shown:
                console.show(output)
        except Exception:
            logger.exception("%s failed because of a fault in MoonPalace", about)
