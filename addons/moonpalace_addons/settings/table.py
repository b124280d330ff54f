"""The table of settings: names, types, defaults and help."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moonpalace_addons.settings import kinds


@dataclass(frozen=True, slots=True)
class Setting[T]:
    """Define one setting; `name` is its flag without the leading dashes.

    `config_keys` is its path in config.yaml unless that is `start` and the name. `default_text` describes a default
    that is determined at run time.
    """

    name: str
    kind: kinds.Kind[T]
    default: T
    about: str
    config_keys: tuple[str, ...] = ()
    short: str = ""
    secret: bool = False
    default_text: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Return its keys in config.yaml, outermost first."""
        return self.config_keys or ("start", self.name)

    @property
    def field(self) -> str:
        """Return the name of its field in `Settings`."""
        return self.name.replace("-", "_")

    @property
    def env(self) -> str:
        """Return the name of the environment variable."""
        return f"MOONPALACE_{self.field.upper()}"

    @property
    def option(self) -> str:
        """Return the name of its mitmproxy option, for `--set`."""
        return f"moonpalace_{self.field}"

    @property
    def help(self) -> str:
        """Return one paragraph with the setting's effect, unit and default."""
        default = self.default_text or (f"{self.default:g}" if isinstance(self.default, float) else str(self.default))
        if self.kind.form == "switch" and not self.default_text:
            default = "on" if self.default else "off"
        return self.about + ("" if self.secret else f" Default: {default}.")


PORT = Setting("port", kinds.PORT, 9988, "TCP port to listen on; 0 takes any free one.", short="p")
HOST = Setting("host", kinds.HOST, "127.0.0.1", "Address to listen on, without a port.")
ENDPOINT = Setting(
    "endpoint",
    kinds.ENDPOINT,
    "https://api.moonshot.cn",
    "Base URL of the API that calls are forwarded to, without /v1.",
    ("endpoint",),
)
_KEY = "API key to send upstream with every call; clients then need no key of their own."
KEY: Setting[str | None] = Setting("key", kinds.SECRET, None, _KEY, short="k", secret=True)
_GUARD = "Token that clients must send as their API key; required with --key if other machines can reach the address."
TOKEN: Setting[str | None] = Setting("token", kinds.SECRET, None, _GUARD, secret=True)
_ALLOW = "Comma-separated web origins whose pages and host names may call the proxy; * allows all."
ALLOW_ORIGINS = Setting("allow-origins", kinds.ORIGINS, (), _ALLOW, default_text="none")
DATABASE: Setting[str | None] = Setting(
    "database",
    kinds.DATABASE,
    None,
    "Database that stores the calls: path of an SQLite file, or a PostgreSQL URL.",
    ("database",),
    default_text="moonpalace.sqlite in ~/.moonpalace, or in the folder MOONPALACE_HOME",
)
REDACT_PATTERN: Setting[str | None] = Setting(
    "redact-pattern",
    kinds.PATTERN,
    None,
    "RE2 regular expression; exports with --redact also replace what it matches.",
    ("redact-pattern",),
    default_text="none",
)
_DAYS = "Delete calls older than this number of days while the proxy runs; labelled calls are kept."
RETENTION_DAYS: Setting[int | None] = Setting("retention-days", kinds.DAYS, None, _DAYS, default_text="no limit")
_SIZE = "Delete the oldest calls while the database is larger than this and the proxy runs; labelled calls are kept."
MAX_SIZE: Setting[int | None] = Setting("max-size", kinds.SIZE, None, _SIZE, default_text="no limit")
_CA = "PEM file with the CA certificates to trust for an https endpoint."
UPSTREAM_CA: Setting[Path | None] = Setting(
    "upstream-ca", kinds.FILE, None, _CA, default_text="the certificates of the certifi package"
)
INSECURE = Setting("insecure", kinds.FLAG, False, "Do not verify the endpoint's certificate; for tests only.")
UPSTREAM_PROXY: Setting[str | None] = Setting(
    "upstream-proxy",
    kinds.PROXY,
    None,
    "URL of an HTTP proxy to use for the endpoint, optionally with user:password@; none disables it.",
    default_text="HTTPS_PROXY or HTTP_PROXY, else ALL_PROXY, unless NO_PROXY matches the endpoint",
)
_IDLE = "Seconds without a byte after which a call is ended."
IDLE_TIMEOUT = Setting("idle-timeout", kinds.SECONDS, 960.0, _IDLE)
_BODY = "Size of a body: a larger request is refused, and of a larger answer only the beginning is kept."
MAX_BODY = Setting("max-body", kinds.BODY, 100_000_000, _BODY)
_HEAD = "Maximum size of the head of a request or a response, in bytes; the engine mitmproxy has no such limit."
MAX_HEAD = Setting("max-head", kinds.BODY, 1_000_000, _HEAD)
_ENGINE = "HTTP engine: moonpalace, or mitmproxy, which is slower and has fewer features."
ENGINE = Setting("engine", kinds.ENGINE, "moonpalace", _ENGINE)
_LOG = "What the log says of each call: full, a block as documented; line, one line; json, one object a line."
LOG = Setting("log", kinds.LOG, "full", _LOG)
QUIET = Setting("quiet", kinds.FLAG, False, "Do not log calls; warnings and errors are logged.")
_LIVE = "Number of calls that mitmweb and the console of mitmproxy show; the store keeps older ones."
LIVE_LIMIT = Setting("live-limit", kinds.COUNT, 1000, _LIVE)
_WEB = "Password of mitmweb's page, instead of a token in its address."
WEB_PASSWORD: Setting[str | None] = Setting("web-password", kinds.SECRET, None, _WEB, secret=True)
_CONSOLE = "Start the console for the stored calls, mpal web, beside the proxy, in a process of its own."
CONSOLE = Setting("console", kinds.FLAG, False, _CONSOLE)
CONSOLE_PORT = Setting(
    "console-port",
    kinds.PORT,
    9989,
    "Port of the console on 127.0.0.1; 0 takes any free one.",
    ("start", "console", "port"),
)
_CERT = "PEM file with the certificate, and its chain, to serve clients over https."
TLS_CERT: Setting[Path | None] = Setting("tls-cert", kinds.FILE, None, _CERT, default_text="plain http")
_TLS_KEY = "PEM file with the private key of --tls-cert."
TLS_KEY: Setting[Path | None] = Setting("tls-key", kinds.FILE, None, _TLS_KEY, default_text="the file of --tls-cert")
_FORCE = "Request every chat completion and message as a stream; clients still get the form they asked for."
FORCE_STREAM = Setting("force-stream", kinds.FLAG, False, _FORCE)
_HEARTBEAT = "Seconds between the whitespace sent to a client that waits for a forced stream."
HEARTBEAT = Setting("heartbeat", kinds.SECONDS, 10.0, _HEARTBEAT)
_USAGE = "Request the usage of every streamed chat completion; it is hidden from clients that did not ask for it."
STREAM_USAGE = Setting("stream-usage", kinds.FLAG, False, _USAGE)
_DETECT = "Interrupt streams that repeat themselves."
DETECT_REPEAT = Setting("detect-repeat", kinds.FLAG, False, _DETECT)
REPEAT_THRESHOLD = Setting(
    "repeat-threshold",
    kinds.FRACTION,
    0.5,
    "Sensitivity from 0 to 1; a higher threshold interrupts sooner.",
    ("start", "detect-repeat", "threshold"),
)
REPEAT_MIN_LENGTH = Setting(
    "repeat-min-length",
    kinds.COUNT,
    100,
    "Characters of output before the first interruption.",
    ("start", "detect-repeat", "min-length"),
)
_AUTO = "Create and use context caches for long requests."
AUTO_CACHE = Setting("auto-cache", kinds.FLAG, False, _AUTO)
CACHE_MIN_BYTES = Setting(
    "cache-min-bytes",
    kinds.BYTES,
    4096,
    "Minimum size of messages and tools, in bytes, for a request to be cached.",
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
    "Seconds that a call waits for its new cache; with 0 the cache is created in the background, for the next call.",
    ("start", "auto-cache", "wait"),
)
_HINT = "Add a prompt_cache_key per conversation to chat completions that have none."
CACHE_KEY_HINT = Setting("cache-key-hint", kinds.FLAG, False, _HINT)


_OTEL = "Export each call to OpenTelemetry by OTLP over HTTP; requires the extra otel."
OTEL: Setting[bool | None] = Setting(
    "otel", kinds.FLAG, None, _OTEL, default_text="on if a variable such as OTEL_EXPORTER_OTLP_ENDPOINT is set"
)
_CONTENT = "Export the messages of calls too."
OTEL_CONTENT = Setting("otel-content", kinds.FLAG, False, _CONTENT, ("start", "otel", "content"))

TABLE: tuple[Setting[object], ...] = tuple(value for value in [*globals().values()] if isinstance(value, Setting))
"""All settings above, in the order of the help and the documentation."""

BY_NAME: Mapping[str, Setting[object]] = {setting.name: setting for setting in TABLE}

MITMPROXY_OPTIONS = tuple(setting for setting in TABLE if not setting.secret)
"""Settings available as `--set moonpalace_…`: all but the secrets, as the process list and mitmweb show options."""
