"""Find invalid values of OpenTelemetry's variables: it would ignore them, mostly without a message."""

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from moonpalace_addons.wire.otlp_environment import SIGNALS, Environment

PREFIX = "OTEL_EXPORTER_OTLP"
HEADER = re.compile(r"[!#-'*+.0-9A-Z^-z|~-]+[ \t]*=[ \t]*[ !#-+\--:<-\[\]-~]*")
"""An item of the variables for headers, as the SDK reads it: `name=value` in ASCII."""
ATTRIBUTE = re.compile(r"[^=]*=.*", re.DOTALL)
SAMPLERS = tuple(
    f"{parent}{kind}" for parent in ("", "parentbased_") for kind in ("always_on", "always_off", "traceidratio")
)
ITEMS = "separate items by commas, and write a comma in a value as %2C"
"""The advice for an invalid item."""

type Check = tuple[Callable[[str], bool], str]
"""A check of a value, and the message if it fails."""


def mistakes(environ: Environment) -> Iterator[str]:
    """Yield a line for each variable with an invalid value. Values are not shown, as they may be secret."""
    for name, (is_fit, words) in CHECKS.items():
        value = environ.get(name, "").strip()
        if value and not is_fit(value):
            yield f"{name} {words}"
    for name, form in LISTS.items():
        wrong = [str(number) for number, item in enumerate(items(environ.get(name, "")), 1) if not form.fullmatch(item)]
        if wrong:
            single = f"item {wrong[0]} is left out, as it is" if len(wrong) == 1 else ""
            yield f"{name}: {single or f'items {", ".join(wrong)} are left out, as they are'} not NAME=VALUE; {ITEMS}"
    if "ratio" in environ.get("OTEL_TRACES_SAMPLER", "") and not is_ratio(environ.get("OTEL_TRACES_SAMPLER_ARG", "")):
        yield "OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1; 1 is used"


def items(value: str) -> list[str]:
    """Return the items of a comma-separated list."""
    return [item.strip() for item in value.split(",") if item.strip()]


def among(*words: str) -> Callable[[str], bool]:
    """Return a check that accepts only these words."""
    return lambda value: value.lower() in words


def is_url(value: str) -> bool:
    """Return whether a value is a URL with a host."""
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_number(value: str) -> bool:
    """Return whether a value is a number."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def is_ratio(value: str) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return is_number(value) and 0 <= float(value) <= 1


def of_signals(name: str) -> list[str]:
    """Return the variable for all signals and those for single signals."""
    return [f"{PREFIX}_{name}", *(f"{PREFIX}_{signal.upper()}_{name}" for signal in SIGNALS)]


STEMS: Mapping[str, Check] = {
    "ENDPOINT": (is_url, "is not a URL such as http://localhost:4318"),
    "PROTOCOL": (among("http/protobuf"), "is not http/protobuf, by which calls are sent all the same"),
    "COMPRESSION": (among("gzip", "deflate", "none"), "is not gzip, deflate or none; requests are not compressed"),
    "TIMEOUT": (is_number, "is not a number of seconds; 10 is used"),
}
CHECKS: Mapping[str, Check] = {
    **{name: check for stem, check in STEMS.items() for name in of_signals(stem)},
    f"{PREFIX}_METRICS_TEMPORALITY_PREFERENCE": (
        among("cumulative", "delta", "lowmemory"),
        "is not cumulative, delta or lowmemory; cumulative is used",
    ),
    "OTEL_TRACES_SAMPLER": (
        among(*SAMPLERS),
        f"is not one of {', '.join(SAMPLERS)}; parentbased_always_on is used",
    ),
}
LISTS: Mapping[str, re.Pattern[str]] = {
    **dict.fromkeys(of_signals("HEADERS"), HEADER),
    "OTEL_RESOURCE_ATTRIBUTES": ATTRIBUTE,
}
