"""The table of settings: names, types, defaults and help."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.setting import Setting, derived, setting


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False, eq=False)
class Table:
    """The settings, one field each; `Settings` has their values, and the methods that are left out here."""

    port: int = setting(kinds.PORT, 9988, "TCP port to listen on; 0 takes any free one.", short="p")
    host: str = setting(kinds.HOST, "127.0.0.1", "Address to listen on, without a port.")
    endpoint: str = setting(
        kinds.ENDPOINT,
        "https://api.moonshot.cn",
        "Base URL of the API that calls are forwarded to, without /v1.",
        config_keys=("endpoint",),
    )
    key: str | None = setting(
        kinds.SECRET,
        None,
        "API key to send upstream with every call; clients then need no key of their own.",
        short="k",
        secret=True,
    )
    token: str | None = setting(
        kinds.SECRET,
        None,
        "Token that clients must send as their API key; required with --key if other machines can reach the address.",
        secret=True,
    )
    allow_origins: tuple[str, ...] = setting(
        kinds.ORIGINS,
        (),
        "Comma-separated web origins whose pages and host names may call the proxy; * allows all.",
        default_text="none",
    )
    database: str = derived(
        kinds.DATABASE,
        "Database that stores the calls: path of an SQLite file, or a PostgreSQL URL.",
        config_keys=("database",),
        default_text="moonpalace.sqlite in ~/.moonpalace, or in the folder MOONPALACE_HOME",
        in_repr=False,
    )
    redact_pattern: str | None = setting(
        kinds.PATTERN,
        None,
        "RE2 regular expression; exports with --redact also replace what it matches.",
        config_keys=("redact-pattern",),
        default_text="none",
    )
    retention_days: int | None = setting(
        kinds.whole("DAYS", 1, 36_500, "days"),
        None,
        "Delete calls older than this number of days while the proxy runs; labelled calls are kept.",
        default_text="no limit",
    )
    max_size: int | None = setting(
        kinds.SIZE,
        None,
        "Delete the oldest calls while the database is larger than this and the proxy runs; labelled calls are kept.",
        default_text="no limit",
    )
    upstream_ca: Path | None = setting(
        kinds.FILE,
        None,
        "PEM file with the CA certificates to trust for an https endpoint.",
        default_text="the certificates of the certifi package",
    )
    insecure: bool = setting(kinds.FLAG, False, "Do not verify the endpoint's certificate; for tests only.")
    upstream_proxy: str | None = setting(
        kinds.PROXY,
        None,
        "URL of an HTTP proxy to use for the endpoint, optionally with user:password@; none disables it.",
        default_text="HTTPS_PROXY or HTTP_PROXY, else ALL_PROXY, unless NO_PROXY matches the endpoint",
        in_repr=False,
    )
    idle_timeout: float = setting(kinds.SECONDS, 960.0, "Seconds without a byte after which a call is ended.")
    max_body: int = setting(
        kinds.BODY,
        100_000_000,
        "Maximum size of a body: a larger request is refused, and only the beginning of a larger answer is kept.",
    )
    max_head: int = setting(
        kinds.BODY,
        1_000_000,
        "Maximum size of the head of a request or a response, in bytes; the engine mitmproxy has no such limit.",
    )
    engine: str = setting(
        kinds.choice("NAME", "moonpalace", "mitmproxy"),
        "moonpalace",
        "HTTP engine: moonpalace, or mitmproxy, which is slower and has fewer features.",
    )
    log: str = setting(
        kinds.choice("FORM", "full", "line", "json"),
        "full",
        "Form of the log: full, a block for each call; line, one line a call; json, one JSON object a line.",
    )
    quiet: bool = setting(kinds.FLAG, False, "Do not log calls; warnings and errors are logged.")
    live_limit: int = setting(
        kinds.COUNT, 1000, "Number of calls that mitmweb and the console of mitmproxy show; the store keeps older ones."
    )
    web_password: str | None = setting(
        kinds.SECRET, None, "Password of mitmweb's page, instead of a token in its address.", secret=True
    )
    console: bool = setting(
        kinds.FLAG,
        False,
        "Also start the console for the stored calls, as mpal web does, in a process of its own.",
    )
    console_port: int = setting(
        kinds.PORT,
        9989,
        "Port of the console on 127.0.0.1; 0 takes any free one.",
        config_keys=("start", "console", "port"),
    )
    tls_cert: Path | None = setting(
        kinds.FILE,
        None,
        "PEM file with the certificate, and its chain, to serve clients over https.",
        default_text="plain http",
    )
    tls_key: Path | None = setting(
        kinds.FILE, None, "PEM file with the private key of --tls-cert.", default_text="the file of --tls-cert"
    )
    force_stream: bool = setting(
        kinds.FLAG,
        False,
        "Request every chat completion and message as a stream; clients still get the form they asked for.",
    )
    heartbeat: float = setting(
        kinds.SECONDS, 10.0, "Seconds between the whitespace sent to a client that waits for a forced stream."
    )
    stream_usage: bool = setting(
        kinds.FLAG,
        False,
        "Request the usage of every streamed chat completion; it is hidden from clients that did not ask for it.",
    )
    detect_repeat: bool = setting(kinds.FLAG, False, "Interrupt streams that repeat themselves.")
    repeat_threshold: float = setting(
        kinds.decimal("NUMBER", "a number from 0 to 1", lambda number: 0 <= number <= 1),
        0.5,
        "Sensitivity from 0 to 1; a higher threshold interrupts sooner.",
        config_keys=("start", "detect-repeat", "threshold"),
    )
    repeat_min_length: int = setting(
        kinds.COUNT,
        100,
        "Characters of output before the first interruption.",
        config_keys=("start", "detect-repeat", "min-length"),
    )
    auto_cache: bool = setting(kinds.FLAG, False, "Create and use context caches for long requests.")
    cache_min_bytes: int = setting(
        kinds.whole("BYTES", 0, 1_000_000_000, "bytes"),
        4096,
        "Minimum size of messages and tools, in bytes, for a request to be cached.",
        config_keys=("start", "auto-cache", "min-bytes"),
    )
    cache_ttl: int = setting(
        kinds.WHOLE_SECONDS,
        60,
        "Seconds that a cache lives after its last use.",
        config_keys=("start", "auto-cache", "ttl"),
    )
    cache_cleanup: int = setting(
        kinds.WHOLE_SECONDS,
        86_400,
        "Seconds without use after which a cache is deleted.",
        config_keys=("start", "auto-cache", "cleanup"),
    )
    cache_wait: float = setting(
        kinds.decimal("SECONDS", "a number of seconds from 0 to 600 (0 = do not wait)", lambda wait: 0 <= wait <= 600),
        0.0,
        "Seconds that a call waits for its new cache; "
        "with 0 the cache is created in the background, for the next call.",
        config_keys=("start", "auto-cache", "wait"),
    )
    cache_key_hint: bool = setting(
        kinds.FLAG, False, "Add a prompt_cache_key per conversation to chat completions that have none."
    )
    otel: bool = derived(
        kinds.FLAG,
        "Export each call to OpenTelemetry by OTLP over HTTP; requires the extra otel.",
        default_text="on if a variable such as OTEL_EXPORTER_OTLP_ENDPOINT is set",
    )
    otel_content: bool = setting(
        kinds.FLAG, False, "Export the messages of calls too.", config_keys=("start", "otel", "content")
    )


TABLE: tuple[Setting[object], ...] = tuple(
    Setting(name=each.name.replace("_", "-"), **each.metadata) for each in fields(Table)
)
"""All settings above, in the order of the help and the documentation."""

BY_NAME: Mapping[str, Setting[object]] = {setting.name: setting for setting in TABLE}

MITMPROXY_OPTIONS = tuple(setting for setting in TABLE if not setting.secret)
"""Settings available as `--set moonpalace_…`: all but the secrets, as the process list and mitmweb show options."""
