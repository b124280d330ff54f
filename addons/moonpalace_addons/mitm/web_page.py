"""mitmweb's page: mask keys in what it shows, and restore them in edited flows.

It replaces a function, a property and a method of `mitmproxy.tools.web.app`, because a flow keeps the key that is sent
upstream and mitmweb shows all of a flow, but only 150 pixels of its comment.
"""

import sys
from collections.abc import Iterable
from typing import Any

from mitmproxy import ctx
from mitmproxy.http import Headers, HTTPFlow

from moonpalace_addons.wire.secrets.masking import mask_path, mask_query, mask_value

APP = "mitmproxy.tools.web.app"
"""The module is only imported by mitmweb."""
STYLE = b"<style>.flow-table .col-comment { width: 45% }</style>"
"""mitmweb limits comments to 150 pixels, which shows only the first words of ours."""


def is_mitmweb() -> bool:
    """Return whether this process runs mitmweb."""
    return APP in sys.modules and ctx.master.addons.get("webauth") is not None


def address() -> tuple[str, int] | None:
    """Return the URL of mitmweb's page, or None if there is none."""
    return (ctx.options.web_host, ctx.options.web_port) if is_mitmweb() else None


def set_password(password: str) -> None:
    """Set the page's password; mitmweb gets a hash of it, because it shows its options."""
    import argon2  # mitmweb has imported it already

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
    """Widen the column of comments."""
    app: Any = sys.modules[APP]

    def render(self: Any, template: str, **values: Any) -> Any:
        page: bytes = self.render_string(template, **values)
        return self.finish(page.replace(b"</head>", STYLE + b"</head>", 1))

    app.IndexHandler.render = render


def masked(flow: dict[str, Any]) -> dict[str, Any]:
    """Mask the values of secret headers and parameters in the JSON of a flow; return it."""
    for side in ("request", "response"):
        if fields := flow.get(side):
            fields["headers"] = tuple((name, mask_value(name, value)) for name, value in fields["headers"])
    if request := flow.get("request"):
        request["path"] = masked_path(request["path"])
    return flow


def restore(flow: object, edit: object) -> None:
    """Replace masked values that the page has sent back by the real values of the flow."""
    for side in ("request", "response"):
        message = getattr(flow, side, None)
        fields = edit.get(side) if isinstance(edit, dict) else None
        if message is None or not isinstance(fields, dict):
            continue
        if isinstance(edited := fields.get("headers"), list):
            fields["headers"] = [list(field) for field in unmasked(message.headers, edited)]
        if side == "request" and fields.get("path") == masked_path(message.path):
            fields["path"] = message.path


def unmasked(headers: Headers, edited: Iterable[Iterable[str]]) -> Iterable[tuple[str, str]]:
    """Yield edited headers, with the real value in place of each one that is still masked."""
    originals = [(name.lower(), mask_value(name, value), value) for name, value in headers.items(multi=True)]
    for name, value in edited:
        original = next((field for field in originals if field[:2] == (name.lower(), value)), None)
        if original is not None:
            originals.remove(original)
        yield name, value if original is None else original[2]


def masked_path(path: str) -> str:
    """Return a path as the page shows it."""
    path, mark, query = path.partition("?")
    return mask_path(path) + mark + mask_query(query)
