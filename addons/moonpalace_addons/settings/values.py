"""Resolve the values of the settings, and validate them.

A value comes from the first of these sources: a flag or a mitmproxy option, the variable MOONPALACE_…, config.yaml, the
default. All sources give text, which the setting's kind parses; errors name the source.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings import kinds, telemetry
from moonpalace_addons.settings.endpoints import Endpoint, in_order, read_endpoints
from moonpalace_addons.settings.entries import FREE, Entry
from moonpalace_addons.settings.environment_proxy import environment_proxy
from moonpalace_addons.settings.explainer import Explainer, read_explainer
from moonpalace_addons.settings.setting import Setting
from moonpalace_addons.settings.table import BY_NAME, TABLE, Table
from moonpalace_addons.wire.otlp_environment import asked_by
from moonpalace_addons.wire.suggestions import nearest

if TYPE_CHECKING:
    from moonpalace_addons.settings.reports import Destination, ReportRule
    from moonpalace_addons.wire.prices import PriceRule

OTHER_PREFIXES = ("MOONPALACE_TEST_", "MOONPALACE_MOCK_", "MOONPALACE_WEB_")
"""Prefixes of variables that are not settings: those of the tests, of `mpal mock` and of `mpal web`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Table):
    """The values of all settings: those of the table, the parts of config.yaml with free keys, and two places."""

    endpoints: tuple[Endpoint, ...] = ()
    """The first is at `endpoint`, and serves clients that name none."""
    prices: tuple[PriceRule, ...] = ()
    explain: Explainer = field(default_factory=Explainer)
    reports: tuple[Destination, ...] = ()
    rules: tuple[ReportRule, ...] = ()
    home: Path
    config_file: Path | None = None

    @property
    def has_credentials(self) -> bool:
        """Tell whether a key or a header with a credential is sent with calls."""
        return any(endpoint.secrets for endpoint in self.endpoints)


class _Raw(NamedTuple):
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class _Values:
    chosen: Collection[str]
    found: Mapping[str, _Raw]
    free: Mapping[str, Entry]

    def has(self, name: str) -> bool:
        """Tell whether a part of config.yaml with free keys is there, and chosen."""
        return name in self.chosen and name in self.free

    def of[T](self, setting: Setting[T]) -> T:
        raw = self.found.get(setting.name) if setting.name in self.chosen else None
        return setting.default if raw is None else _parse(setting, raw.text, raw.source)


def _parse[T](setting: Setting[T], text: str, source: str) -> T:
    try:
        return setting.kind.parse(text)
    except (ValueError, OSError) as error:
        why = str(error) if isinstance(error, kinds.HintError) else f"must be {setting.kind.allowed}"
        if isinstance(error, OSError):
            why += f" ({error.strerror})"
        # `from None`: the original exception may quote an invalid secret.
        raise SettingError(f"{source}: {'the value' if setting.secret else _quoted(text)} {why}") from None


def _quoted(text: str) -> str:
    """Quote a value for a message, without the parts of a URL that can hold passwords: user information and query."""
    scheme = match[0] if (match := re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text)) else ""
    if "@" in text:
        text = f"{scheme}…" if "?" in text else f"{scheme}…@{text.rpartition('@')[2]}"
    elif "?" in text:
        text = text.partition("?")[0] + "?…"
    return repr(text if len(text) <= 80 else text[:79] + "…")


def home(environ: Mapping[str, str]) -> Path:
    """Return the folder of MoonPalace's files: MOONPALACE_HOME or ~/.moonpalace. It need not exist."""
    if named := environ.get("MOONPALACE_HOME"):
        return _parse_path(named, "variable MOONPALACE_HOME")
    try:
        return Path(environ.get("HOME") or Path.home()).absolute() / ".moonpalace"
    except (OSError, RuntimeError):
        raise SettingError("cannot determine the home folder: set the variable MOONPALACE_HOME to a folder") from None


def _parse_path(text: str, source: str) -> Path:
    try:
        return kinds.parse_path(text)
    except (ValueError, OSError):  # OSError: a relative path in a deleted working directory
        raise SettingError(f"{source}: {_quoted(text)} must be a path") from None


def resolve(
    given: Mapping[str, object | None],
    environ: Mapping[str, str],
    config: Path | None = None,
    *,
    names: Collection[str] | None = None,
    given_as: Literal["flag", "option"] = "flag",
) -> Settings:
    """Resolve each setting from `given` (None means not given), the environment, config.yaml or its default, in order.

    `names` are the settings that the caller uses (None for all). The others keep their defaults whatever the sources
    say, so that an invalid port cannot stop a query. `given_as` is what error messages call the values in `given`.

    Raise SettingError for an invalid value, an unknown variable MOONPALACE_…, an invalid config.yaml, or conflicting
    values (see `check`).
    """
    _refuse_unknown_variables(environ)
    folder = home(environ)
    config_file = _config_file(config, environ, folder)
    in_file, free = _from_config(config_file)
    found = in_file | _from_environment(environ) | _from_given(given, given_as)
    values = _Values([*(setting.name for setting in TABLE), *FREE] if names is None else names, found, free)
    settings = _settings(values, folder, config_file, environ)
    check(settings)
    return settings


def sources(environ: Mapping[str, str], config: Path | None = None) -> dict[str, str]:
    """Return where each setting that is not the default comes from; raise SettingError as `resolve` does."""
    in_file, _ = _from_config(_config_file(config, environ, home(environ)))
    elsewhere = {"otel": f"variable {name}"} if (name := asked_by(environ)) else {}
    return elsewhere | {name: raw.source for name, raw in (in_file | _from_environment(environ)).items()}


def _settings(values: _Values, folder: Path, config_file: Path | None, environ: Mapping[str, str]) -> Settings:
    found: dict[str, Any] = {setting.field: values.of(setting) for setting in TABLE}
    endpoints, found["prices"] = _endpoints(values, found)
    found["reports"], found["rules"] = _reports(values)
    found["endpoint"], found["key"] = endpoints[0].url, endpoints[0].key
    if "upstream-proxy" in values.chosen:
        endpoints = tuple(with_proxy(each, found["upstream_proxy"], environ) for each in endpoints)
    explainer = read_explainer(values.free["explain"]) if values.has("explain") else Explainer()
    found["explain"] = replace(explainer, proxy=found["upstream_proxy"])
    found["otel"] = _otel(found["otel"], environ)
    found["endpoints"], found["upstream_proxy"] = endpoints, endpoints[0].proxy
    found["database"] = found["database"] or _default_database(folder)
    return Settings(**found, home=folder, config_file=config_file)


def _otel(given: bool | None, environ: Mapping[str, str]) -> bool:
    if given and not telemetry.is_installed():
        raise SettingError(f"otel requires OpenTelemetry's packages: {telemetry.INSTALL}, or turn otel off")
    return asked_by(environ) is not None if given is None else given


def _endpoints(values: _Values, found: Mapping[str, Any]) -> tuple[tuple[Endpoint, ...], tuple[PriceRule, ...]]:
    named, prices = read_endpoints(values.free["endpoints"]) if values.has("endpoints") else ((), ())
    if values.has("prices"):
        from moonpalace_addons.settings.prices import read_prices

        prices += read_prices(values.free["prices"], named=[each.name for each in named if each.name])
    given = found["endpoint"] if "endpoint" in values.found else None
    return in_order(named, given, found["endpoint"], found["key"]), prices


def _reports(values: _Values) -> tuple[tuple[Destination, ...], tuple[ReportRule, ...]]:
    if not (values.has("reports") or values.has("rules")):
        return (), ()
    from moonpalace_addons.settings.reports import read_reports, read_rules  # 0.01 s, and few users have any

    destinations = read_reports(values.free["reports"]) if values.has("reports") else ()
    return destinations, read_rules(values.free["rules"], destinations) if values.has("rules") else ()


def with_proxy(endpoint: Endpoint, given: str | None, environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint with its outgoing proxy: the given one ("" for none), else that of the environment."""
    if given is None or (endpoint.name is not None and kinds.is_loopback(endpoint.address[1])):
        given = _environment_proxy(endpoint.url, environ)
    return replace(endpoint, proxy=given or None)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {setting.env for setting in TABLE} | {"MOONPALACE_HOME", "MOONPALACE_CONFIG"}
    for name in environ:
        if name.startswith("MOONPALACE_") and name not in known and not name.startswith(OTHER_PREFIXES):
            raise SettingError(f"variable {_quoted(name)} is unknown; the closest is {nearest(name, known, 1, 0.0)[0]}")


def _config_file(config: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get("MOONPALACE_CONFIG")
    if config is None and not named:
        default = folder / "config.yaml"
        return default if os.path.lexists(default) else None
    source = "variable MOONPALACE_CONFIG" if config is None else "flag --config"
    path = _parse_path(str(config or named), source)
    if not os.path.lexists(path):
        raise SettingError(f"{source}: {str(path)!r} does not exist")
    return path


def _from_config(config_file: Path | None) -> tuple[dict[str, _Raw], Mapping[str, Entry]]:
    if config_file is None:
        return {}, {}
    from moonpalace_addons.settings import (
        config_file as reader,  # it imports this module, and most runs have no such file
    )

    settings, free = reader.read(config_file)
    raw = {
        name: _Raw(_text(value), reader.position(config_file, line, BY_NAME[name].path))
        for name, (value, line) in settings.items()
    }
    return raw, free


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Raw]:
    # A shell unsets a variable for a single command by setting it empty: that must not turn a switch on.
    return {
        setting.name: _Raw(environ[setting.env], f"variable {setting.env}")
        for setting in TABLE
        if environ.get(setting.env)
    }


def _from_given(given: Mapping[str, object | None], given_as: Literal["flag", "option"]) -> dict[str, _Raw]:
    return {
        name: _Raw(_text(value), f"flag --{name}" if given_as == "flag" else f"option {BY_NAME[name].option}")
        for name, value in given.items()
        if value is not None
    }


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def check(settings: Settings) -> None:
    """Raise SettingError for values that are valid alone but not together, such as a key that strangers could use."""
    if settings.token is not None and not settings.has_credentials:
        raise SettingError(
            "a token (--token, MOONPALACE_TOKEN, start.token) protects a key, but no key is set: "
            "set the key too (--key, MOONPALACE_KEY, start.key), or remove the token"
        )
    if settings.has_credentials and settings.token is None and not kinds.is_loopback(settings.host):
        raise SettingError(
            f"host {settings.host!r} lets other machines use the key: set a token that clients must send as their "
            "API key (--token, MOONPALACE_TOKEN, start.token), or listen on 127.0.0.1"
        )
    if settings.tls_cert is not None or settings.tls_key is not None:
        _check_tls(settings)


def _check_tls(settings: Settings) -> None:
    import ssl  # it costs 10 ms, and few users serve TLS

    if settings.tls_cert is None:
        raise SettingError("tls-key requires a certificate: set tls-cert too, or remove tls-key")
    if settings.engine != "moonpalace":
        raise SettingError("tls-cert requires the engine moonpalace: set engine to moonpalace, or remove tls-cert")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "it is encrypted"
        files = " and ".join(repr(str(file)) for file in (settings.tls_cert, settings.tls_key) if file is not None)
        raise SettingError(
            f"tls-cert: {files} must contain a certificate and its key in PEM format, unencrypted ({why})"
        ) from None


def _default_database(folder: Path) -> str:
    try:
        return kinds.sqlite_url(folder / "moonpalace.sqlite")
    except kinds.HintError as why:
        raise SettingError(f"home folder (variable MOONPALACE_HOME): {str(folder)!r} {why}") from None


def _environment_proxy(endpoint: str, environ: Mapping[str, str]) -> str | None:
    found = environment_proxy(endpoint, environ)
    if found is None:
        return None
    name, text = found
    return str(_parse(BY_NAME["upstream-proxy"], text, f"variable {name} (--upstream-proxy overrides it)"))
