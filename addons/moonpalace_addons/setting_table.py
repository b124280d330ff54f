"""The one table of settings: names, types, defaults and help."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moonpalace_addons import setting_kinds as kinds


@dataclass(frozen=True, slots=True)
class Setting[T]:
    """Describe one setting; `name` is its flag without dashes.

    `place` is its path in config.yaml where that is not simply `start` and the name; `otherwise` says a default that is
    found only at run time.
    """

    name: str
    kind: kinds.Kind[T]
    default: T
    about: str
    place: tuple[str, ...] = ()
    short: str = ""
    secret: bool = False
    otherwise: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Return the keys that lead to it in config.yaml."""
        return self.place or ("start", self.name)

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
        return self.about + ("" if self.secret else f" Default: {default}.")


PORT = Setting("port", kinds.PORT, 9988, "TCP port to listen on; 0 takes any free one.", short="p")
HOST = Setting("host", kinds.HOST, "127.0.0.1", "Address to listen on, without a port.")
ENDPOINT = Setting(
    "endpoint",
    kinds.ENDPOINT,
    "https://api.moonshot.cn",
    "The API that calls are forwarded to, without /v1.",
    ("endpoint",),
)
_KEY = "API key sent upstream with every call, so that clients need none of their own."
KEY: Setting[str | None] = Setting("key", kinds.SECRET, None, _KEY, short="k", secret=True)
_GUARD = "What clients must send as their API key; needed for a key on an address that other machines can reach."
TOKEN: Setting[str | None] = Setting("token", kinds.SECRET, None, _GUARD, secret=True)
_ALLOW = "Web origins whose pages, and whose host names, may call the proxy, separated by commas; * for all pages."
ALLOW_ORIGINS = Setting("allow-origins", kinds.ORIGINS, (), _ALLOW, otherwise="none")
DATABASE: Setting[str | None] = Setting(
    "database",
    kinds.DATABASE,
    None,
    "Where calls are kept: the path of an SQLite file, or a PostgreSQL URL.",
    ("database",),
    otherwise="moonpalace.sqlite in ~/.moonpalace, or in the folder MOONPALACE_HOME",
)
REDACT_PATTERN: Setting[str | None] = Setting(
    "redact-pattern",
    kinds.PATTERN,
    None,
    "What exports with --redact replace beside keys, ids, addresses and files: a regular expression of RE2.",
    ("redact-pattern",),
    otherwise="nothing more",
)
_CA = "PEM file of the certificate authorities to trust when the endpoint is https."
UPSTREAM_CA: Setting[Path | None] = Setting(
    "upstream-ca", kinds.FILE, None, _CA, otherwise="those that Python's certifi brings"
)
INSECURE = Setting("insecure", kinds.FLAG, False, "Accept any certificate from the endpoint: for tests only.")
UPSTREAM_PROXY: Setting[str | None] = Setting(
    "upstream-proxy",
    kinds.PROXY,
    None,
    "HTTP proxy on the way to the endpoint, with user:password@ if it wants them; none for no proxy.",
    otherwise="from HTTPS_PROXY or HTTP_PROXY, else ALL_PROXY, unless NO_PROXY excepts the endpoint",
)
_IDLE = "Seconds without a byte after which a call is given up."
IDLE_TIMEOUT = Setting("idle-timeout", kinds.SECONDS, 960.0, _IDLE)
_ENGINE = "What speaks HTTP with clients and the API: mitmproxy's own server, or moonpalace, which is new and quicker."
ENGINE = Setting("engine", kinds.ENGINE, "mitmproxy", _ENGINE)
_CERT = "PEM file of a certificate with which clients are spoken to over https; its chain may follow in it."
TLS_CERT: Setting[Path | None] = Setting("tls-cert", kinds.FILE, None, _CERT, otherwise="plain http")
_TLS_KEY = "PEM file of that certificate's private key."
TLS_KEY: Setting[Path | None] = Setting(
    "tls-key", kinds.FILE, None, _TLS_KEY, otherwise="in the file of the certificate"
)
_BODY = "Size of a body: a larger request is refused, and of a larger answer only the beginning is kept."
MAX_BODY = Setting("max-body", kinds.BODY, 100_000_000, _BODY)
_FORCE = "Ask the API for a stream at every chat completion; clients still get the form they asked for."
FORCE_STREAM = Setting("force-stream", kinds.FLAG, False, _FORCE)
_BEAT = "Seconds between the blanks that a client of a forced stream gets while it waits."
HEARTBEAT = Setting("heartbeat", kinds.SECONDS, 10.0, _BEAT)
_USAGE = "Ask the API for the usage of every streamed chat completion; clients that did not ask do not see it."
STREAM_USAGE = Setting("stream-usage", kinds.FLAG, False, _USAGE)
_DETECT = "Interrupt streams that repeat themselves."
DETECT_REPEAT = Setting("detect-repeat", kinds.FLAG, False, _DETECT)
REPEAT_THRESHOLD = Setting(
    "repeat-threshold",
    kinds.FRACTION,
    0.5,
    "How little repetition is tolerated, from 0 to 1: a higher threshold interrupts sooner.",
    ("start", "detect-repeat", "threshold"),
)
REPEAT_MIN_LENGTH = Setting(
    "repeat-min-length",
    kinds.COUNT,
    100,
    "Characters of output before which nothing is interrupted.",
    ("start", "detect-repeat", "min-length"),
)
_AUTO = "Create and use context caches for long requests."
AUTO_CACHE = Setting("auto-cache", kinds.FLAG, False, _AUTO)
CACHE_MIN_BYTES = Setting(
    "cache-min-bytes",
    kinds.BYTES,
    4096,
    "Bytes of messages and tools above which a request is cached.",
    ("start", "auto-cache", "min-bytes"),
)
CACHE_TTL = Setting(
    "cache-ttl",
    kinds.WHOLE_SECONDS,
    60,
    "Seconds that a cache lives after its last use.",
    ("start", "auto-cache", "ttl"),
)
CACHE_CLEANUP = Setting(
    "cache-cleanup",
    kinds.WHOLE_SECONDS,
    86_400,
    "Seconds without use after which a cache is deleted.",
    ("start", "auto-cache", "cleanup"),
)
CACHE_WAIT = Setting(
    "cache-wait",
    kinds.WAIT,
    0.0,
    "Seconds that a call waits for its new cache; with 0 the cache is made beside the call and serves the next one.",
    ("start", "auto-cache", "wait"),
)
_HINT = "Add prompt_cache_key, the same through a conversation, to chat completions whose client set none."
CACHE_KEY_HINT = Setting("cache-key-hint", kinds.FLAG, False, _HINT)

_DAYS = "Days after which calls are deleted while the proxy runs; labelled calls stay."
RETENTION_DAYS: Setting[int | None] = Setting("retention-days", kinds.DAYS, None, _DAYS, otherwise="none are deleted")
_SIZE = "Size of the database above which the oldest calls are deleted while the proxy runs; labelled calls stay."
MAX_SIZE: Setting[int | None] = Setting("max-size", kinds.SIZE, None, _SIZE, otherwise="none are deleted")

_SERVER: tuple[Setting[object], ...] = (PORT, HOST, ENDPOINT, KEY, TOKEN, ALLOW_ORIGINS, DATABASE, REDACT_PATTERN)
_UPSTREAM: tuple[Setting[object], ...] = (
    UPSTREAM_CA,
    INSECURE,
    UPSTREAM_PROXY,
    IDLE_TIMEOUT,
    MAX_BODY,
    ENGINE,
    TLS_CERT,
    TLS_KEY,
)
_STREAMS: tuple[Setting[object], ...] = (FORCE_STREAM, HEARTBEAT, STREAM_USAGE)
_LOOPS: tuple[Setting[object], ...] = (DETECT_REPEAT, REPEAT_THRESHOLD, REPEAT_MIN_LENGTH)
_CACHES: tuple[Setting[object], ...] = (
    AUTO_CACHE,
    CACHE_MIN_BYTES,
    CACHE_TTL,
    CACHE_CLEANUP,
    CACHE_WAIT,
    CACHE_KEY_HINT,
)
_RETENTION: tuple[Setting[object], ...] = (RETENTION_DAYS, MAX_SIZE)
TABLE = _SERVER + _RETENTION + _UPSTREAM + _STREAMS + _LOOPS + _CACHES
BY_NAME: Mapping[str, Setting[object]] = {setting.name: setting for setting in TABLE}

MITMPROXY_OPTIONS = tuple(setting for setting in TABLE if not setting.secret)
"""The settings offered as `--set moonpalace_…`: not the secrets, as options show in the process list and in mitmweb."""
