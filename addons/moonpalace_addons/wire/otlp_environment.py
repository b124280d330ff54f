"""Read the standard OpenTelemetry variables that say whether and where to export.

All others, such as those for headers, certificates and sampling, are left to OpenTelemetry.
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

type Signal = Literal["traces", "metrics"]
type Environment = Mapping[str, str]

SIGNALS: tuple[Signal, ...] = ("traces", "metrics")
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
DEFAULT_ENDPOINT = "http://localhost:4318"


def asked_by(environ: Environment) -> str | None:
    """Return the variable that asks for an export by naming a receiver; None if there is none."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    names = {ENDPOINT: SIGNALS} | {endpoint_of(signal): (signal,) for signal in SIGNALS}
    return next(
        (
            name
            for name, signals in names.items()
            if environ.get(name) and any(wants(each, environ) for each in signals)
        ),
        None,
    )


def wants(signal: Signal, environ: Environment) -> bool:
    """Return whether a signal is to be exported, which for instance `OTEL_TRACES_EXPORTER=none` forbids."""
    return environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() != "none"


def url_of(signal: Signal, environ: Environment) -> str:
    """Return the URL to which a signal is sent."""
    common = environ.get(ENDPOINT) or DEFAULT_ENDPOINT
    return environ.get(endpoint_of(signal)) or f"{common.removesuffix('/')}/v1/{signal}"


def endpoint_of(signal: Signal) -> str:
    """Return the name of the variable with the URL of one signal."""
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"


def is_delta(environ: Environment) -> bool:
    """Return whether metrics are sent as the difference to the previous export."""
    return environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower() == "delta"


def shown(url: str) -> str:
    """Return a URL for a log or a row: without user, password and query, and with keys in its path masked."""
    from moonpalace_addons.wire.secrets.masking import mask_path  # only few commands need it

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a URL that is not valid"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{mask_path(parts.path)}"
