"""OpenTelemetry's variables that say whether and where to export."""

import pytest

from moonpalace_addons.wire.otlp_environment import asked_by, is_delta, shown, url_of

ENDPOINT, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
NO_SIGNALS = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": " None "}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({ENDPOINT: ""}, None),
        ({ENDPOINT: "http://a"}, ENDPOINT),
        ({TRACES: "http://a"}, TRACES),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a"}, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}, None),
        ({ENDPOINT: "http://a", "OTEL_SDK_DISABLED": "True"}, None),
        ({ENDPOINT: "http://a"} | NO_SIGNALS, None),
        ({TRACES: "http://a", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({ENDPOINT: "http://a", "OTEL_TRACES_EXPORTER": "none"}, ENDPOINT),
    ],
)
def test_what_asks_for_an_export(environ: dict[str, str], expected: str | None) -> None:
    """The URL of a receiver asks for an export, unless other variables turn everything off."""
    assert asked_by(environ) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "http://localhost:4318/v1/traces"),
        ({ENDPOINT: "https://a/otlp/"}, "https://a/otlp/v1/traces"),
        ({ENDPOINT: "https://a", TRACES: "https://b/x"}, "https://b/x"),
    ],
)
def test_the_url(environ: dict[str, str], expected: str) -> None:
    """The URL of a signal is used unchanged; the common one gets a path."""
    assert url_of("traces", environ) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:secret@host:8/v1/traces?token=secret#x", "https://host:8/v1/traces"),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
        ("http://host/sk-0123456789abcdefghij0123/v1/traces", "http://host/***************************/v1/traces"),
        ("http://host:secret/", "a URL that is not valid"),
        ("http://[host", "a URL that is not valid"),
    ],
)
def test_nothing_secret_is_shown(url: str, expected: str) -> None:
    """User, password, query and keys are not shown."""
    assert shown(url) == expected


def test_the_temporality_of_metrics() -> None:
    """Metrics are sums since the start, unless the variable asks for differences."""
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    assert [is_delta({}), is_delta({name: "Delta"}), is_delta({name: "cumulative"})] == [False, True, False]
