"""Hold the settings for the other addons: found by `mpal start`, or from mitmproxy's options."""

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
    """Settle the settings before the first call."""

    name = "moonpalace-configuration"

    settings: Settings
    """Only there when `ready`: no property, since mitmproxy reads every attribute of an addon when it loads it."""
    names: frozenset[str] = frozenset()
    """By which other machines may know this one, once it listens where they reach it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.ready = settings is not None
        if settings is not None:
            self.settings = settings

    def load(self, loader: Loader) -> None:
        """Offer the settings as mitmproxy options: all are texts, so that `None` means that nobody gave one."""
        for setting in MITMPROXY_OPTIONS:
            loader.add_option(setting.option, str | None, None, setting.help)  # type: ignore[arg-type]

    def configure(self, updated: AbstractSet[str]) -> None:
        """Resolve the settings once; changing them later would leave half of the proxy with the old ones."""
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
                    "Error: %s is no option, since options show in the process list and in mitmweb: set %s instead",
                    setting.option,
                    setting.env,
                )
        if re.search(r"://[^@/]*:[^@]*@|[?&]password=", getattr(ctx.options, DATABASE.option) or ""):
            logger.error(
                "Error: %s must hold no password, which the process list and mitmweb would show: set %s instead",
                DATABASE.option,
                DATABASE.env,
            )

    def concerns(self, flow: HTTPFlow) -> bool:
        """Tell whether a flow is a call to the API: a client's, in reverse mode any, else to the endpoint's host."""
        if not self.ready or is_own(flow):
            return False
        if isinstance(flow.client_conn.proxy_mode, ReverseMode):
            return True
        endpoint = urlsplit(self.settings.endpoint)
        port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        return (flow.request.host.lower(), flow.request.port) == (endpoint.hostname, port)

    def endpoint_of(self, flow: HTTPFlow) -> str:
        """Return the endpoint that a call goes to, without a path."""
        mode = flow.client_conn.proxy_mode
        if isinstance(mode, ReverseMode):
            return endpoint_in(mode.data)
        return self.settings.endpoint

    def own_secrets(self) -> tuple[bytes, ...]:
        """Return the secrets among the settings, which may stand in what clients and upstream say."""
        given = (self.settings.key, self.settings.token)
        return tuple(secret.encode() for secret in given if secret)


@cache
def endpoint_in(data: str) -> str:
    """Return the endpoint that a mode of mitmproxy's names, without a path; there are few in the life of a proxy."""
    parts = urlsplit(data if "://" in data else f"https://{data}")
    return f"{parts.scheme}://{parts.netloc}"
