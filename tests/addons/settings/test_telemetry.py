"""Whether calls are exported to OpenTelemetry."""

from pathlib import Path

import pytest

from moonpalace_addons.settings import telemetry
from moonpalace_addons.settings.values import sources
from tests.addons.settings.resolved import refusal, resolve

STANDARD = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({}, {}, False),
        ({"otel": True}, {}, True),
        ({}, STANDARD, True),
        ({"otel": False}, STANDARD, False),
        ({}, STANDARD | {"MOONPALACE_OTEL": "false"}, False),
        ({}, STANDARD | {"OTEL_SDK_DISABLED": "true"}, False),
        ({"otel": True}, {"OTEL_SDK_DISABLED": "true"}, True),
    ],
)
def test_what_turns_it_on(tmp_path: Path, given: dict[str, bool], environ: dict[str, str], expected: bool) -> None:
    """The flag or the variable of MoonPalace decides, else a standard variable."""
    assert resolve(tmp_path, given, environ).otel is expected


def test_the_file(tmp_path: Path) -> None:
    """A mapping in config.yaml turns it on, with messages if it says so."""
    settings = resolve(tmp_path, config="start:\n    otel:\n        content: true\n")
    assert (settings.otel, settings.otel_content) == (True, True)
    assert resolve(tmp_path, config="start:\n    otel: false\n", environ=STANDARD).otel is False


def test_the_origin(tmp_path: Path) -> None:
    """The origin of a value set by a standard variable is that variable."""
    home = {"MOONPALACE_HOME": str(tmp_path)}
    assert sources(home | STANDARD)["otel"] == "variable OTEL_EXPORTER_OTLP_ENDPOINT"
    assert sources(home | STANDARD | {"MOONPALACE_OTEL": "true"})["otel"] == "variable MOONPALACE_OTEL"
    assert "otel" not in sources(home)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages, the setting is refused in one line that says what to install."""
    monkeypatch.setattr(telemetry, "NEEDED", ("opentelemetry.missing.package",))
    assert refusal(tmp_path, {"otel": True}) == (
        "otel requires OpenTelemetry's packages: pip install 'moonpalace[otel]', or turn otel off"
    )
    assert resolve(tmp_path, {}, STANDARD).otel  # which the start of the proxy reports, and goes on
