"""Commands of mitmweb and of the console of mitmproxy that act on the stored calls of flows."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from mitmproxy import command, ctx, types
from mitmproxy.exceptions import CommandError
from mitmproxy.flow import Flow
from mitmproxy.log import ALERT

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.live import kept, mpal

logger = logging.getLogger(__name__)

KEYS = (
    ("t", "moonpalace.row @focus", "Show the stored call"),
    ("T", "console.command moonpalace.label @focus ", "Label the stored call"),
    ("y", "moonpalace.curl @focus", "Show the stored call as a curl command"),
    ("Y", "moonpalace.explain @focus", "Have a model explain the stored call"),
    ("X", "console.command moonpalace.export @focus ", "Export the stored call to a folder"),
)
"""Keys of the console that mitmproxy leaves free, in the list of flows and in a flow."""
CATEGORIES = ("good", "bad")
ANSWERS = ("yes", "again")
"""What a user can say to `moonpalace.explain`."""
EXPLAINING_TIMEOUT = 3600.0
"""Seconds: the model that explains has its own limits."""
QUITTING_TIMEOUT = 5.0
"""Seconds for which the end of mitmproxy waits for commands under way."""


class LiveCommands:
    """Run `mpal` on the calls of flows, in the background, and log what it says."""

    name = "moonpalace-commands"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._tasks: set[asyncio.Task[None]] = set()

    def running(self) -> None:
        """Bind keys, if this is the console."""
        if "console.key.bind" in ctx.master.commands.commands:
            for key, what, about in KEYS:
                with contextlib.suppress(CommandError, ValueError):  # the user has bound it
                    ctx.master.keymap.add(key, what, ["flowlist", "flowview"], about)  # type: ignore[attr-defined]

    async def done(self) -> None:
        """Wait for what is under way, and end what takes long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=QUITTING_TIMEOUT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @command.command("moonpalace.row")  # type: ignore[untyped-decorator]
    def row(self, flows: Sequence[Flow]) -> str:
        """Show the stored calls of flows, as mpal show does."""
        return self._start("show", flows)

    @command.command("moonpalace.label")  # type: ignore[untyped-decorator]
    def label(self, flows: Sequence[Flow], *labels: str) -> str:
        """Label the stored calls of flows: good, bad, and any other word as a tag."""
        if not labels:
            raise CommandError("name the labels: good, bad, or any tag")
        return self._start("label", flows, *(f"--{each}" if each in CATEGORIES else f"--tag={each}" for each in labels))

    @command.command("moonpalace.export")  # type: ignore[untyped-decorator]
    def export(self, flows: Sequence[Flow], folder: types.Path) -> str:
        """Export the stored calls of flows to a folder, a file for each."""
        return self._start("export", flows, f"--directory={folder}")

    @command.command("moonpalace.curl")  # type: ignore[untyped-decorator]
    def curl(self, flows: Sequence[Flow]) -> str:
        """Show the stored calls of flows as curl commands."""
        return self._start("export", flows, "--curl")

    @command.command("moonpalace.explain")  # type: ignore[untyped-decorator]
    def explain(self, flows: Sequence[Flow], *answers: str) -> str:
        """Have a model explain the stored calls of flows: the first time only shows what it would get.

        With "yes" it is sent; with "again" it is asked again though there is an explanation.
        """
        given = [each.removeprefix("--") for each in answers]
        if not set(given) <= set(ANSWERS):
            raise CommandError(f"say {' or '.join(ANSWERS)}, or nothing")
        return self._start("explain", flows, *(f"--{each}" for each in given), patience=EXPLAINING_TIMEOUT)

    def _start(self, what: str, flows: Sequence[Flow], *more: str, patience: float = mpal.TIMEOUT) -> str:
        """Start a command of `mpal`; return what has been started."""
        # By their uuids, since a flow from a file may have the number of another store's row.
        calls = [uuid for flow in flows if kept.row_of(flow) is not None and (uuid := kept.uuid_of(flow))]
        if not calls:
            raise CommandError("none of these flows is a stored call")
        task = asyncio.get_running_loop().create_task(self._run([what, *calls, *more], patience))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return f"mpal {' '.join([what, *calls, *more])}: the event log says what it did"

    async def _run(self, arguments: Sequence[str], patience: float) -> None:
        try:
            said, is_done = await mpal.run(arguments, self.configuration.settings, patience)
        except Exception:
            logger.exception("mpal %s failed because of a fault in MoonPalace", arguments[0])
            return
        logger.log(ALERT if is_done else logging.WARNING, "mpal %s: %s", " ".join(arguments), said)
