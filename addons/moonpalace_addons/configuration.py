"""Provide the settings to the other addons, from `mpal start` or from mitmproxy's options."""

import logging
import os
import re
from collections.abc import Set as AbstractSet
from functools import cache
from urllib.parse import urlsplit

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import ReverseMode

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.mitm.own_requests import is_own
from moonpalace_addons.settings.table import DATABASE, MITMPROXY_OPTIONS, TABLE
from moonpalace_addons.settings.values import Settings, resolve

logger = logging.getLogger(__name__)


class Configuration:
    """Resolve the settings before the first call."""

    name = "moonpalace-configuration"

    settings: Settings
    """Set only if `ready`; not a property, as mitmproxy reads every attribute of an addon when loading it."""
    names: frozenset[str] = frozenset()
    """Names of this machine on the network, set once the proxy listens on a reachable address."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.ready = settings is not None
        if settings is not None:
            self.settings = settings

    def load(self, loader: Loader) -> None:
        """Register the settings as mitmproxy options; all are strings, so that `None` means not given."""
        for setting in MITMPROXY_OPTIONS:
            loader.add_option(setting.option, str | None, None, setting.help)  # type: ignore[arg-type]

    def configure(self, updated: AbstractSet[str]) -> None:
        """Resolve the settings once: a later change would reach only some of the addons."""
        ours = {setting.option for setting in MITMPROXY_OPTIONS} & updated
        if self.ready:
            if any(getattr(ctx.options, option) is not None for option in ours):
                raise exceptions.OptionsError("MoonPalace's settings are read at the start: restart to change them")
            return
        self._refuse_secret_options()
        try:
            given: dict[str, object] = {s.name: getattr(ctx.options, s.option) for s in MITMPROXY_OPTIONS}
            settings = resolve(given, os.environ, given_as="option")
        except MoonPalaceError as error:
            # An error in the log during startup ends mitmproxy; an exception would show a traceback as well.
            logger.error("Error: %s", error)  # noqa: TRY400
            return
        self.settings, self.ready = settings, True

    def _refuse_secret_options(self) -> None:
        for setting in TABLE:
            if setting.secret and setting.option in ctx.options.deferred:
                logger.error(
                    "Error: %s is not an option, as options show in the process list and in mitmweb: set %s instead",
                    setting.option,
                    setting.env,
                )
        if re.search(r"://[^@/]*:[^@]*@|[?&]password=", getattr(ctx.options, DATABASE.option) or ""):
            logger.error(
                "Error: %s must not contain a password, which the process list and mitmweb would show: set %s instead",
                DATABASE.option,
                DATABASE.env,
            )

    def concerns(self, flow: HTTPFlow) -> bool:
        """Tell whether a flow is a call to the API: any client's in reverse mode, otherwise those to the endpoint."""
        if not self.ready or is_own(flow):
            return False
        if isinstance(flow.client_conn.proxy_mode, ReverseMode):
            return True
        endpoint = urlsplit(self.settings.endpoint)
        port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        return (flow.request.host.lower(), flow.request.port) == (endpoint.hostname, port)

    def endpoint_of(self, flow: HTTPFlow) -> str:
        """Return the endpoint of a call, without a path."""
        mode = flow.client_conn.proxy_mode
        if isinstance(mode, ReverseMode):
            return endpoint_in(mode.data)
        return self.settings.endpoint

    def own_secrets(self) -> tuple[bytes, ...]:
        """Return the secret settings, which may occur in requests and answers."""
        given = (self.settings.key, self.settings.token)
        return tuple(secret.encode() for secret in given if secret)


@cache
def endpoint_in(data: str) -> str:
    """Return the endpoint in the data of a mitmproxy mode, without a path."""
    parts = urlsplit(data if "://" in data else f"https://{data}")
    return f"{parts.scheme}://{parts.netloc}"
