"""mitmproxy's console: key bindings, and texts shown over its list of flows."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx

if TYPE_CHECKING:
    from mitmproxy.tools.console.keymap import Keymap

CONTEXTS = ("flowlist", "flowview")
"""The contexts of our key bindings: the list of flows, and a single flow."""


def is_console() -> bool:
    """Return whether this process runs mitmproxy's console."""
    return "console.key.bind" in ctx.master.commands.commands


def bind_keys(keymap: "Keymap", keys: Sequence[tuple[str, str, str]]) -> None:
    """Bind keys that neither mitmproxy nor the user has bound, since binding replaces an existing binding."""
    maps = (keymap, keymap_of_user())
    for key, command, about in keys:
        if free := [
            each for each in CONTEXTS if not any(bound.get(each, key) or bound.get("global", key) for bound in maps)
        ]:
            keymap.add(key, command, free, about)


def keymap_of_user() -> "Keymap":
    """Return the bindings in the user's `keys.yaml`, which mitmproxy reads after it has started addons of scripts."""
    from mitmproxy.tools.console.keymap import KeyBindingError, Keymap, KeymapConfig

    keymap = Keymap(ctx.master)
    with contextlib.suppress(KeyBindingError, OSError):  # mitmproxy reports it
        path = Path(ctx.options.confdir).expanduser() / KeymapConfig.defaultFile
        KeymapConfig(ctx.master).load_path(keymap, path)
    return keymap


def show(text: str) -> None:
    """Show a text over the list of flows, until the user closes it."""
    from mitmproxy.tools.console.overlay import DataViewerOverlay  # the console has imported it, mitmweb never does

    master: Any = ctx.master
    master.overlay(DataViewerOverlay(master, text.expandtabs(4).splitlines()), valign="top")
