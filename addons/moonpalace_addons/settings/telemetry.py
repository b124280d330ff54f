"""Whether OpenTelemetry's packages are installed, which are an extra."""

from importlib.util import find_spec

INSTALL = "pip install 'moonpalace[otel]'"
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def is_installed() -> bool:
    """Tell whether the extra is installed, without importing it."""
    try:
        return all(find_spec(name) is not None for name in NEEDED)
    except ModuleNotFoundError:
        return False
