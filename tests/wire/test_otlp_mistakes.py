"""Invalid values of OpenTelemetry's variables."""

import logging

import pytest
from opentelemetry.sdk.resources import OTELResourceDetector
from opentelemetry.util.re import parse_env_headers

from moonpalace_addons.wire.otlp_mistakes import HEADER, items, mistakes
from tests.tables import for_each

HEADERS, ATTRIBUTES = "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES"
LISTS = "separate items by commas, and write a comma in a value as %2C"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (HEADERS, "Authorization: Bearer sk-1", f": item 1 is left out, as it is not NAME=VALUE; {LISTS}"),
        (HEADERS, "a=1, b, c=\u6708", f": items 2, 3 are left out, as they are not NAME=VALUE; {LISTS}"),
        (ATTRIBUTES, "team=a,prod", f": item 2 is left out, as it is not NAME=VALUE; {LISTS}"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", " is not a URL such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[", " is not a URL such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", " is not http/protobuf, by which calls are sent all the same"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "br", " is not gzip, deflate or none; requests are not compressed"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "10s", " is not a number of seconds; 10 is used"),
    ],
)
def test_a_value_that_cannot_be_read(name: str, value: str, words: str) -> None:
    """One line names the variable and the consequence; it does not show the value, which may be a key."""
    assert list(mistakes({name: value})) == [f"{name}{words}"]


def test_samplers() -> None:
    """A sampler must be known, and one with a ratio needs a number."""
    (unknown,) = mistakes({"OTEL_TRACES_SAMPLER": "sometimes"})
    assert unknown.endswith("parentbased_always_off, parentbased_traceidratio; parentbased_always_on is used")
    for ratio in ("", "2", "half"):
        (wrong,) = mistakes({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio})
        assert wrong == "OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1; 1 is used"


def test_what_can_be_read() -> None:
    """Valid values are not reported."""
    fine = {
        HEADERS: "api-key=a%2Cb,Authorization=Bearer sk-1, x-y = 1=2 ,",
        ATTRIBUTES: "service.name=x,deployment.environment.name=a b",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://example.com:4318/otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "GZIP",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.25",
    }
    assert list(mistakes(fine)) == []


@for_each(
    "item",
    ["a=1", "a = b c", "a b=1", "a:1", "=1", "a=", 'a="1"', "a=b;c", "a=\\", "a~=é", "(a)=1", "a\t=\tb", "a=b\tc"],
)
def test_headers_are_read_as_the_sdk_reads_them(item: str) -> None:
    """An item is reported exactly if the SDK ignores it."""
    assert [bool(HEADER.fullmatch(each)) for each in items(item)] == [bool(parse_env_headers(item, liberal=True))]


def test_attributes_are_read_as_the_sdk_reads_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If nothing is reported, the SDK has read all attributes."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setenv(ATTRIBUTES, "a=1,b==2, c =3,d=")
    assert len(OTELResourceDetector().detect().attributes) == 4
    assert list(mistakes({ATTRIBUTES: "a=1,b==2, c =3,d="})) == []
