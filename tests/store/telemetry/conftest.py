"""A receiver, and an exporter with short waits."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.telemetry import exporter as exporter_module
from moonpalace_addons.store.telemetry.exporter import Exporter
from tests.otlp_receiver import OtlpReceiver

type Start = Callable[[], Exporter]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """Give a receiver that OpenTelemetry's variables name."""
    with OtlpReceiver() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
        yield found


@pytest.fixture
def start(engine: Engine, file: Path, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Give a function that starts an exporter on a store in the `file`; those that run are stopped at the end."""
    for name, seconds in {
        "GATHER_TIME": 0.01,
        "RETRY_MIN_DELAY": 0.02,
        "RETRY_MAX_DELAY": 0.02,
        "FLUSH_TIME": 5.0,
    }.items():
        monkeypatch.setattr(exporter_module, name, seconds)
    started = list[Exporter]()

    def make() -> Exporter:
        exporter = Exporter(engine, "run-1")
        exporter.start()
        started.append(exporter)
        return exporter

    yield make
    for exporter in started:
        exporter.stop()
