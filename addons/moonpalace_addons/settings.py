"""The one table of settings: names, types, defaults and help, with the way in which a value is found and checked.

A value comes from the first of: what was given (a flag, or an option of mitmproxy), the variable MOONPALACE_…,
config.yaml, the default. Whatever the source, it is text that the setting's kind parses; an error names the source.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from moonpalace_addons.errors import NotBuiltYetError, SettingError

# ---- kinds: text in, value out ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind[T]:
    """Say how the text of a setting becomes a value.

    `allowed` ends the sentence "X must be …"; `parse` raises ValueError, `HintError` to say more than that, or OSError.
    `holds` tells the readers of flags and files what to offer: a switch, one text, several texts, or a file's path.
    """

    metavar: str
    allowed: str
    parse: Callable[[str], T]
    holds: Literal["switch", "text", "list", "path"] = "text"


class HintError(ValueError):
    """Refuse a value with a sentence of its own; it never repeats what may be a secret."""


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word in ("", "true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # int() alone would take 8_080 and the digits of other scripts.
        if not re.fullmatch(r"[0-9]+", text.strip()) or not lowest <= int(text) <= highest:
            raise ValueError
        return int(text)

    return parse


def _decimal(accepts: Callable[[float], bool]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", text.strip().lower()):
            raise ValueError
        if not accepts(float(text)):
            raise ValueError
        return float(text)

    return parse


def _secret(text: str) -> str:
    # It becomes part of a header: anything else would split or spoil that header.
    if not re.fullmatch(r"[!-~]+", text.strip()):
        raise ValueError
    return text.strip()


def _host(text: str) -> str:
    host = text.strip().lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if re.fullmatch(r"[0-9a-f:.]*:[0-9a-f:.]*(%[a-z0-9_.-]+)?|[0-9.]+", host):
        return str(ipaddress.ip_address(host))
    if not text.isascii() or not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,252}", host):
        raise ValueError
    return host


_DEFAULT_PORTS = {"http": "80", "https": "443"}


class _Url(NamedTuple):
    scheme: str
    user: str | None
    host: str
    port: str  # empty for the scheme's own
    rest: str

    @property
    def site(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{'' if self.user is None else self.user + '@'}{host}{self.port and ':' + self.port}"


_URL = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?:(?P<user>[^/?#]*)@)?"
    r"(?P<host>\[[^]/?#@]*\]|[^]:/?#@[]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.ASCII,
)


def _url(text: str, default_scheme: str) -> _Url:
    text = text.strip()
    match = _URL.fullmatch(text)
    if match is None or not text.isprintable() or " " in text:
        raise ValueError
    scheme = (match["scheme"] or default_scheme).lower()
    port = str(_whole(1, 65535)(match["port"])) if match["port"] else ""
    own = port == _DEFAULT_PORTS.get(scheme)
    return _Url(scheme, match["user"], _host(match["host"]), "" if own else port, match["rest"] or "")


def _endpoint(text: str) -> str:
    url = _url(text, "https")
    if url.scheme not in ("http", "https") or url.user is not None:
        raise ValueError
    if url.rest.rstrip("/") == "/v1":
        raise HintError(f"must be without /v1, which every call brings itself: leave it out, {url.site}")
    if url.rest not in ("", "/"):
        raise ValueError
    return url.site


def _proxy(text: str) -> str:
    if text.strip().lower() == "none":
        return ""
    url = _url(text, "http")
    if url.scheme not in ("http", "https") or url.rest not in ("", "/"):
        raise ValueError
    return url.site


def _origin(text: str) -> str:
    if text == "*":
        return text
    url = _url(text, "")
    if not url.scheme or url.user is not None or url.rest not in ("", "/"):
        raise ValueError
    return url.site


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(item.strip()) for item in text.split(",") if item.strip())


def _path(text: str) -> Path:
    if not text.strip() or not text.isprintable():
        raise ValueError
    try:
        return Path(text.strip()).expanduser().absolute()
    except RuntimeError as error:  # a `~name` that nobody has
        raise ValueError from error


def _readable_file(text: str) -> Path:
    path = _path(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError
    return path


def sqlite_url(path: Path) -> str:
    """Return SQLAlchemy's URL of an SQLite file; raise HintError for a path that such a URL cannot hold."""
    # SQLAlchemy 2.1 decodes %41 in a path and 2.0 does not, so neither escaping nor leaving it would be right for both.
    if re.search(r"\?|%[0-9a-fA-F]{2}", str(path)):
        raise HintError("must be a path without `?` or `%` and two digits, which a database URL gives a meaning")
    return f"sqlite:///{path}"


def _database(text: str) -> str:
    text = text.strip()
    if match := re.match(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://", text, re.IGNORECASE):
        if match[0].lower() == "postgres://":
            raise HintError("must begin with postgresql://, as SQLAlchemy calls it")
        if not text.isprintable():
            raise ValueError
        return text
    if "://" in text or re.match(r"(sqlite|postgres|mysql|mariadb)[a-z0-9_+]*:", text, re.IGNORECASE):
        raise ValueError
    path = _path(text)
    if path.is_dir():
        raise HintError("must be a file, and it is a folder")
    return sqlite_url(path)


_YEAR = 365 * 86_400
_FLAG = Kind("", "true or false (also 1, 0, yes, no, on, off)", _flag, holds="switch")
_PORT = Kind("PORT", "a whole number from 0 to 65535 (0 = any free port)", _whole(0, 65535))
_COUNT = Kind("NUMBER", "a whole number from 0 to 1000000000", _whole(0, 1_000_000_000))
_BYTES = Kind("BYTES", "a whole number of bytes from 0 to 1000000000", _whole(0, 1_000_000_000))
_WHOLE_SECONDS = Kind("SECONDS", f"a whole number of seconds from 1 to {_YEAR}", _whole(1, _YEAR))
_SECONDS = Kind(
    "SECONDS", f"a number of seconds above 0, at most {_YEAR}", _decimal(lambda number: 0 < number <= _YEAR)
)
_FRACTION = Kind("NUMBER", "a number from 0 to 1", _decimal(lambda number: 0 <= number <= 1))
_HOST = Kind("HOST", "an IP address or a host name, without a port", _host)
_SECRET = Kind("TEXT", "ASCII characters without spaces (and without the word Bearer)", _secret)
_ENDPOINT = Kind(
    "URL", "a host's http:// or https:// URL without path, query or user (https://api.moonshot.cn)", _endpoint
)
_PROXY = Kind("URL", "a proxy like http://user:password@host:3128 (http or https), or the word none", _proxy)
_ORIGINS = Kind("LIST", "web origins like https://host:port separated by commas, or *", _origins, holds="list")
_DATABASE = Kind("URL", "a file's path, or an SQLAlchemy URL (postgresql://user@host/name)", _database, holds="path")
_FILE = Kind("FILE", "a file that exists and can be read", _readable_file, holds="path")

# ---- the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting[T]:
    """Describe one setting; `name` is its flag without dashes.

    `place` is its path in config.yaml where that is not simply `start` and the name; `otherwise` says a default that is
    found only at run time.
    """

    name: str
    kind: Kind[T]
    default: T
    about: str
    place: tuple[str, ...] = ()
    short: str = ""
    secret: bool = False
    built: bool = True
    otherwise: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Return the keys that lead to it in config.yaml."""
        return self.place or ("start", self.name)

    @property
    def feature(self) -> str:
        """Return the name of the switch that it refines, or an empty text."""
        return self.path[1] if len(self.path) > 2 else ""

    @property
    def env(self) -> str:
        """Return the name of the environment variable."""
        return "MOONPALACE_" + self.name.replace("-", "_").upper()

    @property
    def option(self) -> str:
        """Return the name of mitmproxy's option, for `--set`."""
        return "moonpalace_" + self.name.replace("-", "_")

    @property
    def help(self) -> str:
        """Return one paragraph that says what the setting does, its unit and its default."""
        default = self.otherwise or (f"{self.default:g}" if isinstance(self.default, float) else str(self.default))
        if self.kind.holds == "switch":
            default = "on" if self.default else "off"
        return self.about + ("" if self.secret else f" Default: {default}.") + ("" if self.built else " Not built yet.")


PORT = Setting("port", _PORT, 9988, "TCP port to listen on; 0 takes any free one.", short="p")
HOST = Setting("host", _HOST, "127.0.0.1", "Address to listen on, without a port.")
ENDPOINT = Setting(
    "endpoint", _ENDPOINT, "https://api.moonshot.cn", "The API that calls are forwarded to, without /v1.", ("endpoint",)
)
_KEY = "API key sent upstream with every call, so that clients need none of their own."
KEY = Setting[str | None]("key", _SECRET, None, _KEY, short="k", secret=True)
_GUARD = "What clients must send as their API key; needed for a key on a host that other machines can reach."
TOKEN = Setting[str | None]("token", _SECRET, None, _GUARD, secret=True)
_ALLOW = "Web origins whose pages may call the proxy, separated by commas; * for all."
ALLOW_ORIGINS = Setting("allow-origins", _ORIGINS, (), _ALLOW, otherwise="none")
DATABASE = Setting[str | None](
    "database",
    _DATABASE,
    None,
    "Where calls are kept: the path of an SQLite file, or any SQLAlchemy URL.",
    ("database",),
    otherwise="moonpalace.sqlite in ~/.moonpalace, or in the folder MOONPALACE_HOME",
)
_CA = "PEM file of the certificate authorities to trust when the endpoint is https."
UPSTREAM_CA = Setting[Path | None]("upstream-ca", _FILE, None, _CA, otherwise="those that Python's certifi brings")
INSECURE = Setting("insecure", _FLAG, False, "Accept any certificate from the endpoint: for tests only.")
UPSTREAM_PROXY = Setting[str | None](
    "upstream-proxy",
    _PROXY,
    None,
    "HTTP proxy on the way to the endpoint, with user:password@ if it wants them; none for no proxy.",
    otherwise="from HTTPS_PROXY or HTTP_PROXY, else ALL_PROXY, unless NO_PROXY excepts the endpoint",
)
_IDLE = "Seconds without a byte after which a call is given up."
IDLE_TIMEOUT = Setting("idle-timeout", _SECONDS, 960.0, _IDLE)
_FORCE = "Ask the API for a stream at every chat completion; clients still get the form they asked for."
FORCE_STREAM = Setting("force-stream", _FLAG, False, _FORCE, built=False)
_DETECT = "Interrupt streams that repeat themselves."
DETECT_REPEAT = Setting("detect-repeat", _FLAG, False, _DETECT, built=False)
REPEAT_THRESHOLD = Setting(
    "repeat-threshold",
    _FRACTION,
    0.5,
    "How little repetition is tolerated, from 0 to 1: a higher threshold interrupts sooner.",
    ("start", "detect-repeat", "threshold"),
    built=False,
)
REPEAT_MIN_LENGTH = Setting(
    "repeat-min-length",
    _COUNT,
    100,
    "Characters of output before which nothing is interrupted.",
    ("start", "detect-repeat", "min-length"),
    built=False,
)
_AUTO = "Create and use context caches for long requests."
AUTO_CACHE = Setting("auto-cache", _FLAG, False, _AUTO, built=False)
CACHE_MIN_BYTES = Setting(
    "cache-min-bytes",
    _BYTES,
    4096,
    "Bytes that a request must have to be cached.",
    ("start", "auto-cache", "min-bytes"),
    built=False,
)
CACHE_TTL = Setting(
    "cache-ttl",
    _WHOLE_SECONDS,
    60,
    "Seconds that a cache lives after its last use.",
    ("start", "auto-cache", "ttl"),
    built=False,
)
CACHE_CLEANUP = Setting(
    "cache-cleanup",
    _WHOLE_SECONDS,
    86_400,
    "Seconds without use after which a cache is deleted.",
    ("start", "auto-cache", "cleanup"),
    built=False,
)

_SERVER: tuple[Setting[object], ...] = (PORT, HOST, ENDPOINT, KEY, TOKEN, ALLOW_ORIGINS, DATABASE)
_UPSTREAM: tuple[Setting[object], ...] = (UPSTREAM_CA, INSECURE, UPSTREAM_PROXY, IDLE_TIMEOUT)
_STREAMS: tuple[Setting[object], ...] = (FORCE_STREAM, DETECT_REPEAT, REPEAT_THRESHOLD, REPEAT_MIN_LENGTH)
_CACHES: tuple[Setting[object], ...] = (AUTO_CACHE, CACHE_MIN_BYTES, CACHE_TTL, CACHE_CLEANUP)
TABLE = _SERVER + _UPSTREAM + _STREAMS + _CACHES
BY_NAME: Mapping[str, Setting[object]] = {setting.name: setting for setting in TABLE}

MITMPROXY_OPTIONS = tuple(setting for setting in TABLE if not setting.secret)
"""The settings offered as `--set moonpalace_…`: not the secrets, as options show in the process list and in mitmweb."""

# ---- resolution ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold the values that a command works with; the fields are named as the settings."""

    port: int
    host: str
    endpoint: str
    key: str | None = field(repr=False)
    token: str | None = field(repr=False)
    allow_origins: tuple[str, ...]
    database: str = field(repr=False)
    upstream_ca: Path | None
    insecure: bool
    upstream_proxy: str | None = field(repr=False)
    idle_timeout: float
    force_stream: bool
    detect_repeat: bool
    repeat_threshold: float
    repeat_min_length: int
    auto_cache: bool
    cache_min_bytes: int
    cache_ttl: int
    cache_cleanup: int
    home: Path
    config_file: Path | None


class _Raw(NamedTuple):
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class _Values:
    chosen: Collection[str]
    found: Mapping[str, _Raw]

    def of[T](self, setting: Setting[T]) -> T:
        raw = self.found.get(setting.name) if setting.name in self.chosen else None
        return setting.default if raw is None else _parse(setting, raw.text, raw.source)


def _parse[T](setting: Setting[T], text: str, source: str) -> T:
    try:
        return setting.kind.parse(text)
    except (ValueError, OSError) as error:
        why = str(error) if isinstance(error, HintError) else f"must be {setting.kind.allowed}"
        if isinstance(error, OSError):
            why += f" ({error.strerror})"
        # `from None`: the cause of a bad secret may quote it.
        raise SettingError(f"{source}: {'the value' if setting.secret else _shown(text)} {why}") from None


def _shown(text: str) -> str:
    """Quote a value for a message, without what a URL can hold of passwords: before its `@` and in its query."""
    scheme = match[0] if (match := re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text)) else ""
    if "@" in text:
        text = f"{scheme}…" if "?" in text else f"{scheme}…@{text.rpartition('@')[2]}"
    elif "?" in text:
        text = text.partition("?")[0] + "?…"
    return repr(text if len(text) <= 80 else text[:79] + "…")


def parse_option(name: str, text: str) -> object:
    """Parse the text of the setting `name`, as from a variable or mitmproxy's `--set`, or raise SettingError."""
    return _parse(BY_NAME[name], text, f"option {BY_NAME[name].option}")


def home(environ: Mapping[str, str]) -> Path:
    """Return the folder of MoonPalace's files: MOONPALACE_HOME, else ~/.moonpalace. It need not exist."""
    if named := environ.get("MOONPALACE_HOME"):
        return _named_path(named, "variable MOONPALACE_HOME")
    try:
        return Path(environ.get("HOME") or Path.home()).absolute() / ".moonpalace"
    except (OSError, RuntimeError):
        raise SettingError("no home folder is known: set the variable MOONPALACE_HOME to a folder") from None


def _named_path(text: str, source: str) -> Path:
    try:
        return _path(text)
    except (ValueError, OSError):  # OSError: a relative path, and the current folder is gone
        raise SettingError(f"{source}: {_shown(text)} must be a path") from None


def resolve(
    given: Mapping[str, object | None],
    environ: Mapping[str, str],
    config: Path | None = None,
    *,
    names: Collection[str] | None = None,
    given_as: Literal["flag", "option"] = "flag",
) -> Settings:
    """Find each setting in `given` (None is not given), the environment, config.yaml or the default, in this order.

    `names` are the settings that the caller works with (all, if None): the others keep their defaults, whatever the
    sources say of them, so that a bad port cannot stop a query. `given_as` is how messages call what was given.

    Raise SettingError for a bad value, an unknown variable MOONPALACE_…, a config.yaml that is not one, or values that
    do not go together (see `check`), and NotBuiltYetError for a feature of a later version.
    """
    _refuse_unknown_variables(environ)
    folder = home(environ)
    config_file = _config_file(config, environ, folder)
    found = _from_config(config_file) | _from_environment(environ) | _from_given(given, given_as)
    values = _Values([setting.name for setting in TABLE] if names is None else names, found)
    settings = _settings(values, folder, config_file, environ)
    _refuse_unbuilt(values)
    check(settings)
    return settings


def _settings(values: _Values, folder: Path, config_file: Path | None, environ: Mapping[str, str]) -> Settings:
    endpoint = values.of(ENDPOINT)
    proxy = values.of(UPSTREAM_PROXY)
    if proxy is None and UPSTREAM_PROXY.name in values.chosen:
        proxy = _environment_proxy(endpoint, environ)
    return Settings(
        port=values.of(PORT),
        host=values.of(HOST),
        endpoint=endpoint,
        key=values.of(KEY),
        token=values.of(TOKEN),
        allow_origins=values.of(ALLOW_ORIGINS),
        database=values.of(DATABASE) or _default_database(folder),
        upstream_ca=values.of(UPSTREAM_CA),
        insecure=values.of(INSECURE),
        upstream_proxy=proxy or None,
        idle_timeout=values.of(IDLE_TIMEOUT),
        force_stream=values.of(FORCE_STREAM),
        detect_repeat=values.of(DETECT_REPEAT),
        repeat_threshold=values.of(REPEAT_THRESHOLD),
        repeat_min_length=values.of(REPEAT_MIN_LENGTH),
        auto_cache=values.of(AUTO_CACHE),
        cache_min_bytes=values.of(CACHE_MIN_BYTES),
        cache_ttl=values.of(CACHE_TTL),
        cache_cleanup=values.of(CACHE_CLEANUP),
        home=folder,
        config_file=config_file,
    )


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {setting.env for setting in TABLE} | {"MOONPALACE_HOME", "MOONPALACE_CONFIG"}
    for name in environ:
        if name.startswith("MOONPALACE_") and name not in known and not name.startswith("MOONPALACE_TEST_"):
            raise SettingError(f"variable {_shown(name)} is not known; the nearest is {nearest(name, known)}")


def nearest(name: str, known: Collection[str]) -> str:
    """Return the one of `known` that is most like `name`."""
    from difflib import get_close_matches  # only for an error; it costs 3 ms

    return get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]


def _config_file(config: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get("MOONPALACE_CONFIG")
    if config is None and not named:
        default = folder / "config.yaml"
        return default if os.path.lexists(default) else None
    source = "variable MOONPALACE_CONFIG" if config is None else "flag --config"
    path = _named_path(str(config or named), source)
    if not os.path.lexists(path):
        raise SettingError(f"{source}: {str(path)!r} does not exist")
    return path


def _from_config(config_file: Path | None) -> dict[str, _Raw]:
    if config_file is None:
        return {}
    from moonpalace_addons import config_file as reader  # it builds on this module, and most runs have no such file

    return {
        name: _Raw(_text(value), reader.place(config_file, line, BY_NAME[name].path))
        for name, (value, line) in reader.read(config_file).items()
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Raw]:
    # An empty variable is how a shell unsets one for a single command: it must not turn a switch on.
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


def _refuse_unbuilt(values: _Values) -> None:
    for setting in TABLE:
        raw = values.found.get(setting.name)
        if setting.built or raw is None or setting.name not in values.chosen:
            continue
        switch = setting.feature or setting.name
        # What refines a feature that is expressly off does nothing: --no-detect-repeat must override config.yaml.
        if switch in values.found and values.of(BY_NAME[switch]) is False:
            continue
        flag = f"--{setting.name}"
        raise NotBuiltYetError(flag if raw.source == f"flag {flag}" else f"{raw.source}: {flag}")


def check(settings: Settings) -> None:
    """Raise SettingError where values are right each by itself but not together: a key that strangers could spend."""
    if settings.token is not None and settings.key is None:
        raise SettingError(
            "a token (--token, MOONPALACE_TOKEN, start.token) guards a key, and there is none: "
            "set the key too (--key, MOONPALACE_KEY, start.key), or leave the token out"
        )
    if settings.key is not None and settings.token is None and not is_loopback(settings.host):
        raise SettingError(
            f"host {settings.host!r} lets other machines spend the key: set a token that clients must send as their "
            "API key (--token, MOONPALACE_TOKEN, start.token), or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`: 127.0.0.0/8, ::1 (with or without brackets) or localhost."""
    name = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _environment_proxy(endpoint: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy that the variables of all programs name for `endpoint`; as in Go, none for this machine."""
    url = _url(endpoint, "https")
    port = url.port or _DEFAULT_PORTS[url.scheme]
    if is_loopback(url.host) or _excepted(url.host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    for lower in (f"{url.scheme}_proxy", "all_proxy"):
        for name in (lower, lower.upper()):
            if environ.get(name):
                return _parse(UPSTREAM_PROXY, environ[name], f"variable {name} (--upstream-proxy overrides it)")
    return None


def _excepted(host: str, port: str, exceptions: str) -> bool:
    """Tell whether NO_PROXY names the host: as *, a domain with all below it, an address or a network, maybe a port."""
    for entry in exceptions.lower().replace(",", " ").split():
        match = re.fullmatch(r"(\[.*\]|[^:]*)(?::([0-9]+))?", entry)
        name, only = (match[1].strip("[]"), match[2]) if match else (entry, None)
        if only not in (None, port):
            continue
        domain = name.removeprefix("*").removeprefix(".")
        if name == "*" or (domain and f".{host}".endswith(f".{domain}")) or _in_network(host, name):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _default_database(folder: Path) -> str:
    try:
        return sqlite_url(folder / "moonpalace.sqlite")
    except HintError as why:
        raise SettingError(f"home folder (variable MOONPALACE_HOME): {str(folder)!r} {why}") from None
