"""Provide the settings to the other addons, from `mpal start` or from mitmproxy's options."""

import logging
import os
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cache
from urllib.parse import urlsplit

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import ReverseMode

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.mitm.own_requests import is_own
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.table import BY_NAME, MITMPROXY_OPTIONS, TABLE
from moonpalace_addons.settings.values import Settings, resolve
from moonpalace_addons.wire.suggestions import did_you_mean

logger = logging.getLogger(__name__)

NAMED = "moonpalace_endpoint"
"""The metadata key for the name of a flow's endpoint, once it is removed from the path."""
REFUSED = "moonpalace_refused"
"""The metadata key for the reason why a call is refused; such a call is stored, too."""
_NAMED_PATH = re.compile(r"/(?:@|%40)([^/?]*)(.*)", re.DOTALL)  # some clients escape the @


class Configuration:
    """Resolve the settings before the first call."""

    name = "moonpalace-configuration"

    settings: Settings
    """Set only if `ready`; not a property, as mitmproxy reads every attribute of an addon when loading it."""
    names: frozenset[str] = frozenset()
    """Names of this machine on the network, set once the proxy listens on a reachable address."""

    by_name: Mapping[str, Endpoint]
    """The named endpoints."""
    edits_requests = edits_streams = False
    """Whether requests may be changed so that the API streams, or tells the usage; whether streams may be edited."""
    edits_credentials = False
    """Whether requests may get a key or headers, or lose the proxy's token."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.ready, self.by_name = False, {}
        self._by_mode: dict[str, Endpoint] = {}
        self._secrets: tuple[bytes, ...] = ()
        if settings is not None:
            self._use(settings)

    def _use(self, settings: Settings) -> None:
        self.settings, self.ready = settings, True
        self.edits_requests = settings.force_stream or settings.stream_usage
        self.edits_streams = self.edits_requests or settings.detect_repeat
        self.edits_credentials = settings.token is not None or any(
            each.key or each.headers for each in settings.endpoints
        )
        self.by_name = {each.name: each for each in settings.endpoints if each.name is not None}
        secrets = [secret for each in settings.endpoints for secret in each.secrets]
        secrets += [settings.token] if settings.token else []
        self._secrets = tuple(secret.encode() for secret in dict.fromkeys(secrets))

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
        self._refuse_unknown_options()
        try:
            values: dict[str, object] = {s.name: getattr(ctx.options, s.option) for s in MITMPROXY_OPTIONS}
            settings = resolve(values, os.environ, given_as="option")
        except MoonPalaceError as error:
            # An error in the log during startup ends mitmproxy; an exception would show a traceback as well.
            logger.error("Error: %s", error)  # noqa: TRY400
            return
        self._use(settings)

    def _refuse_secret_options(self) -> None:
        for setting in TABLE:
            if setting.secret and setting.option in ctx.options.deferred:
                logger.error(
                    "Error: %s is not an option, as options show in the process list and in mitmweb: set %s instead",
                    setting.option,
                    setting.env,
                )
        database = BY_NAME["database"]
        if re.search(r"://[^@/]*:[^@]*@|[?&]password=", getattr(ctx.options, database.option) or ""):
            logger.error(
                "Error: %s must not contain a password, which the process list and mitmweb would show: set %s instead",
                database.option,
                database.env,
            )

    def _refuse_unknown_options(self) -> None:
        """Log an error for options of ours that do not exist: a misspelt endpoint must not go unnoticed."""
        known = {setting.option for setting in TABLE}
        for name in ctx.options.deferred:
            if name.startswith("moonpalace_") and name not in known:
                hint = did_you_mean(name, known)
                logger.error("Error: there is no option %s%s", name, f"; {hint}" if hint else "")

    def concerns(self, flow: HTTPFlow) -> bool:
        """Return whether a flow is a call to the API: any in reverse mode, otherwise those to the endpoints."""
        if not self.ready or is_own(flow):
            return False
        if isinstance(flow.client_conn.proxy_mode, ReverseMode):
            return True
        return self._at(flow) is not None

    def endpoint_of(self, flow: HTTPFlow) -> Endpoint:
        """Return the endpoint of a call: the one noted by `Routing`, or named in the path, else the first.

        If the user chose a reverse mode, calls that name no endpoint go to that mode's server; if a forward mode, to
        the host that the client names.
        """
        mode = flow.client_conn.proxy_mode
        if not isinstance(mode, ReverseMode):
            endpoint = self._at(flow) or self.settings.endpoints[0]
            # clients name the whole path
            return replace(endpoint, url=endpoint.site) if endpoint.prefix else endpoint
        if self.by_name:
            name = flow.metadata.get(NAMED) or (self.named(flow) or (None,))[0]
            if name is not None and name in self.by_name:
                return self.by_name[name]
        return self._by_mode.get(mode.data) or self._of_mode(mode.data)

    def _of_mode(self, data: str) -> Endpoint:
        """Return the endpoint for the data of a reverse mode; the result is cached."""
        site, first = endpoint_in(data), self.settings.endpoints[0]
        configured = next((each for each in self.settings.endpoints if each.site == site), None)
        # The key of a named endpoint is only for that endpoint.
        key = first.key if first.name is None else None
        self._by_mode[data] = endpoint = configured or Endpoint(site, key=key, proxy=first.proxy)
        return endpoint

    def named(self, flow: HTTPFlow) -> tuple[str, str] | None:
        """Return the endpoint's name at the beginning of a call's path, and the path without it; None if there is none.

        Clients of a forward proxy name a host and no endpoint: its key must not go to another host.
        """
        if not self.by_name or not isinstance(flow.client_conn.proxy_mode, ReverseMode):
            return None
        return named_in(flow.request.path)

    def _at(self, flow: HTTPFlow) -> Endpoint | None:
        """Return the endpoint that a client of a forward proxy calls: of several at its host, the one with the path.

        If none of several has the path, the call gets no key, because it could be the wrong one.
        """
        place = (flow.request.host.lower(), flow.request.port)
        there = [each for each in self.settings.endpoints if each.address[1:] == place]
        if len(there) < 2:
            return there[0] if there else None
        path = flow.request.path.partition("?")[0] + "/"
        serving = [each for each in there if path.startswith(f"{each.prefix}/")]
        without_key = Endpoint(there[0].site, proxy=there[0].proxy)
        return max(serving, key=lambda each: len(each.prefix), default=without_key)  # the first of several equal ones

    def own_secrets(self) -> tuple[bytes, ...]:
        """Return the secret settings, which may occur in requests and answers."""
        return self._secrets


def named_in(path: str) -> tuple[str, str] | None:
    """Return the endpoint's name at the beginning of a path, and the rest of the path; None if there is none."""
    match = _NAMED_PATH.fullmatch(path)
    if match is None:
        return None
    name, rest = match.groups()
    return name, rest if rest.startswith("/") else f"/{rest}"


@cache
def endpoint_in(data: str) -> str:
    """Return the endpoint in the data of a mitmproxy mode, without a path."""
    parts = urlsplit(data if "://" in data else f"https://{data}")
    return f"{parts.scheme}://{parts.netloc}"
