"""mitmweb's page: keys are masked in what it shows, and edits put the real ones back.

It replaces a function, a property and a method of `mitmproxy.tools.web.app`, because a flow keeps the key that is sent
upstream, and mitmweb shows all of a flow, but only 150 pixels of its comment.
"""

import sys
from collections.abc import Iterable
from typing import Any

from mitmproxy import ctx
from mitmproxy.http import Headers, HTTPFlow

from moonpalace_addons.wire.secrets.masking import mask_path, mask_query, mask_value

APP = "mitmproxy.tools.web.app"
"""Imported by mitmweb, and by nothing else."""
STYLE = b"<style>.flow-table .col-comment { width: 45% }</style>"
"""The comment says what a call was; mitmweb's own 150 pixels show its first words only."""


def is_mitmweb() -> bool:
    """Tell whether this process is mitmweb."""
    return APP in sys.modules and ctx.master.addons.get("webauth") is not None


def address() -> tuple[str, int] | None:
    """Return where mitmweb's page is, None if there is none."""
    return (ctx.options.web_host, ctx.options.web_port) if is_mitmweb() else None


def set_password(password: str) -> None:
    """Set the page's password; mitmweb gets a hash, as it shows its options."""
    import argon2  # mitmweb has imported it

    ctx.options.update(web_password=argon2.PasswordHasher().hash(password))


def mask_keys() -> None:
    """Mask keys in all flows that mitmweb shows from now on."""
    app: Any = sys.modules[APP]
    original, handler = app.flow_to_json, app.FlowHandler
    if getattr(original, "masks_keys", False):
        return

    def flow_to_json(flow: HTTPFlow) -> dict[str, Any]:
        return masked(original(flow))

    def restored_json(self: Any) -> Any:
        body = app.RequestHandler.json.fget(self)
        restore(self.flow, body)
        return body

    flow_to_json.masks_keys = True  # type: ignore[attr-defined]
    app.flow_to_json = flow_to_json
    handler.json = property(restored_json)


def widen_comments() -> None:
    """Make room for the comments of flows; the page is protected as before."""
    app: Any = sys.modules[APP]

    def render(self: Any, template: str, **values: Any) -> Any:
        page: bytes = self.render_string(template, **values)
        return self.finish(page.replace(b"</head>", STYLE + b"</head>", 1))

    app.IndexHandler.render = render


def masked(shown: dict[str, Any]) -> dict[str, Any]:
    """Return a flow for the page without the values of secret headers and parameters."""
    for side in ("request", "response"):
        if fields := shown.get(side):
            fields["headers"] = tuple((name, mask_value(name, value)) for name, value in fields["headers"])
    if request := shown.get("request"):
        request["path"] = masked_path(request["path"])
    return shown


def restore(flow: object, edit: object) -> None:
    """Put the real values of an edited flow where the page has sent back masked ones."""
    for side in ("request", "response"):
        message = getattr(flow, side, None)
        fields = edit.get(side) if isinstance(edit, dict) else None
        if message is None or not isinstance(fields, dict):
            continue
        if isinstance(given := fields.get("headers"), list):
            fields["headers"] = [list(field) for field in unmasked(message.headers, given)]
        if side == "request" and fields.get("path") == masked_path(message.path):
            fields["path"] = message.path


def unmasked(headers: Headers, given: Iterable[Iterable[str]]) -> Iterable[tuple[str, str]]:
    """Yield edited headers, with the real value of each that still is as it was shown."""
    left = [(name.lower(), mask_value(name, value), value) for name, value in headers.items(multi=True)]
    for name, value in given:
        found = next((each for each in left if each[:2] == (name.lower(), value)), None)
        if found is not None:
            left.remove(found)
        yield name, value if found is None else found[2]


def masked_path(path: str) -> str:
    """Return a path as the page shows it."""
    path, mark, query = path.partition("?")
    return mask_path(path) + mark + mask_query(query)
