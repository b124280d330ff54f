"""The console of mitmproxy: its keys, and texts over its list of flows."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx

if TYPE_CHECKING:
    from mitmproxy.tools.console.keymap import Keymap

CONTEXTS = ("flowlist", "flowview")
"""Where keys of ours work: in the list of flows, and in a flow."""


def is_console() -> bool:
    """Tell whether this process is the console."""
    return "console.key.bind" in ctx.master.commands.commands


def bind_keys(keymap: "Keymap", keys: Sequence[tuple[str, str, str]]) -> None:
    """Bind the keys that nothing is bound to, and that the user binds to nothing: binding replaces."""
    maps = (keymap, keymap_of_user())
    for key, what, about in keys:
        if free := [
            each for each in CONTEXTS if not any(bound.get(each, key) or bound.get("global", key) for bound in maps)
        ]:
            keymap.add(key, what, free, about)


def keymap_of_user() -> "Keymap":
    """Return the bindings of the user's `keys.yaml`, which mitmproxy reads after it has started addons from scripts."""
    from mitmproxy.tools.console.keymap import KeyBindingError, Keymap, KeymapConfig

    found = Keymap(ctx.master)
    with contextlib.suppress(KeyBindingError, OSError):  # mitmproxy says so
        path = Path(ctx.options.confdir).expanduser() / KeymapConfig.defaultFile
        KeymapConfig(ctx.master).load_path(found, path)
    return found


def show(text: str) -> None:
    """Show a text over the list of flows, until the user closes it."""
    from mitmproxy.tools.console.overlay import DataViewerOverlay  # the console has imported it, mitmweb never does

    master: Any = ctx.master
    master.overlay(DataViewerOverlay(master, text.expandtabs(4).splitlines()), valign="top")
