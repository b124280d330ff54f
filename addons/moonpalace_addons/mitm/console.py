"""The console of mitmproxy: its keys, and texts over its list of flows."""

from collections.abc import Sequence
from typing import Any

from mitmproxy import ctx

CONTEXTS = ("flowlist", "flowview")
"""Where keys of ours work: in the list of flows, and in a flow."""


def is_console() -> bool:
    """Tell whether this process is the console."""
    return "console.key.bind" in ctx.master.commands.commands


def bind_keys(keymap: Any, keys: Sequence[tuple[str, str, str]]) -> None:
    """Bind the keys that nothing is bound to: the user's `keys.yaml` has been read, and binding replaces."""
    for key, what, about in keys:
        if free := [context for context in CONTEXTS if not (keymap.get(context, key) or keymap.get("global", key))]:
            keymap.add(key, what, free, about)


def show(text: str) -> None:
    """Show a text over the list of flows, until the user closes it."""
    from mitmproxy.tools.console.overlay import DataViewerOverlay  # the console has imported it, mitmweb never does

    master: Any = ctx.master
    master.overlay(DataViewerOverlay(master, text.expandtabs(4).splitlines()), valign="top")
