"""The life of the store during that of the proxy."""

import asyncio
import gc
import logging
import os
from pathlib import Path

import pytest
from mitmproxy.test import taddons

from moonpalace_addons import recorder as recorder_module
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.errors import StoreError
from moonpalace_addons.recorder import Recorder, exportable
from moonpalace_addons.settings import telemetry
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, State, Task
from moonpalace_addons.writer_process.messages import Opening

pytestmark = pytest.mark.usefixtures("forked_writers")


def a_call() -> list[Task]:
    """Return the tasks of a small call."""
    uuid = "00000000-0000-0000-0000-000000000001"
    asked = RequestRead(uuid, 0, "GET", "https://api.moonshot.cn", "/v1/models", "", "", None, None, None, body=b"")
    return [asked, ExchangeEnded(uuid, 1, State.UPSTREAM_FAILED, error_kind="upstream_refused")]


def configured(database: Path) -> Configuration:
    """Return a configuration with this database."""
    return Configuration(resolve({"database": str(database)}, {"MOONPALACE_HOME": str(database.parent)}))


def test_what_waits_is_stored_before_it_closes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the settings are known, the store opens at loading; at the end all tasks are stored, and the log says so."""
    caplog.set_level(logging.INFO)
    file = tmp_path / "calls.sqlite"
    recorder = Recorder(configured(file))
    with taddons.context(recorder):
        assert recorder.writer is not None
        for task in a_call():
            recorder.put(task)
        asyncio.run(recorder.done())
    engine = open_store(f"sqlite:///{file}")
    (call,) = exchanges.latest(engine, limit=10)
    engine.dispose()
    assert (call.path, call.state) == ("/v1/models", State.UPSTREAM_FAILED)
    assert "GET    /v1/models upstream_failed" in caplog.text


@pytest.mark.parametrize(
    ("given", "kept"),
    [({}, (None, None)), ({"retention-days": "7"}, (7, None)), ({"max-size": "2GB"}, (None, 2_000_000_000))],
)
def test_the_store_is_kept_small_if_that_is_set(
    tmp_path: Path, given: dict[str, str], kept: tuple[int | None, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer's process gets the maximum age and size."""
    openings: list[Opening] = []
    monkeypatch.setattr(recorder_module, "WriterClient", lambda opening, _: openings.append(opening))
    settings = resolve({"database": str(tmp_path / "calls.sqlite")} | given, {"MOONPALACE_HOME": str(tmp_path)})
    Recorder(Configuration(settings)).open()
    assert [(opening.settings.retention_days, opening.settings.max_size) for opening in openings] == [kept]


def test_what_is_loaded_is_not_scanned_for_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the proxy runs, the garbage collector ignores modules; without settings nothing runs."""
    done = list[object]()
    monkeypatch.setattr(gc, "freeze", lambda: done.append("frozen"))
    monkeypatch.setattr(gc, "set_threshold", lambda *given: done.append(given))
    monkeypatch.setattr(recorder_module, "WriterClient", lambda *_: object())
    recorder = Recorder(configured(tmp_path / "calls.sqlite"))
    recorder.running()
    assert done == []
    recorder.open()
    recorder.running()
    assert done == ["frozen", recorder_module.GARBAGE_THRESHOLDS]


def test_store_opens_once_the_settings_are_known(tmp_path: Path) -> None:
    """In mitmdump the settings are known after loading: the store opens then, and only once."""
    configuration = Configuration()
    recorder = Recorder(configuration)
    with taddons.context(recorder):
        assert recorder.writer is None
        configuration.settings, configuration.ready = configured(tmp_path / "calls.sqlite").settings, True
        recorder.configure(set())
        writer = recorder.writer
        assert writer is not None
        recorder.configure(set())
        assert recorder.writer is writer
        asyncio.run(recorder.done())


def test_unusable_store_stops_mpal_start(tmp_path: Path) -> None:
    """An unusable database is an error for the caller before a socket is opened."""
    file = tmp_path / "calls.sqlite"
    file.write_text("this is no database, whatever its name says, and never was")
    recorder = Recorder(configured(file))
    with pytest.raises(StoreError, match=r"calls\.sqlite"):
        recorder.open()


def test_unusable_store_is_one_line_in_mitmdump(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In mitmdump the error is logged in one line without a traceback, which ends mitmproxy at its start."""
    file = tmp_path / "calls.sqlite"
    file.write_text("this is no database, whatever its name says, and never was")
    recorder = Recorder(configured(file))
    recorder.configure(set())
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith("Error: ")
    assert record.exc_info is None
    assert recorder.writer is None


def test_without_a_store_tasks_go_nowhere() -> None:
    """Before the settings are known a task is silently dropped, and the end does nothing."""
    recorder = Recorder(Configuration())
    recorder.put(a_call()[0])
    asyncio.run(recorder.done())
    assert recorder.writer is None


def test_the_end_knows_of_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told if not everything could be stored."""
    recorder = Recorder(configured(tmp_path / "calls.sqlite"))
    recorder.open()
    assert recorder.writer is not None
    stop = recorder.writer.stop
    monkeypatch.setattr(recorder.writer, "stop", lambda: not stop())
    asyncio.run(recorder.done())
    assert not recorder.is_complete


def test_the_home_becomes_private(tmp_path: Path) -> None:
    """A home that others could read, created by an older version, becomes private."""
    tmp_path.chmod(0o755)
    recorder = Recorder(configured(tmp_path / "calls.sqlite"))
    with taddons.context(recorder):
        asyncio.run(recorder.done())
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_variable_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so in one line at the start, without the value."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team")
    assert exportable(resolve({"otel": True}, {"MOONPALACE_HOME": str(tmp_path)})).otel
    (line,) = caplog.messages
    assert line.startswith("otel: OTEL_RESOURCE_ATTRIBUTES: item 1 is left out, as it is not NAME=VALUE; ")


def test_a_variable_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a variable of OpenTelemetry but without its packages the proxy starts: one line says what is missing."""
    monkeypatch.setattr(telemetry, "NEEDED", ("opentelemetry.missing.package",))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@127.0.0.1:1")
    assert not exportable(resolve({}, dict(os.environ) | {"MOONPALACE_HOME": str(tmp_path)})).otel
    assert caplog.messages == [
        "otel: OTEL_EXPORTER_OTLP_ENDPOINT is set, but calls are not exported without: pip install 'moonpalace[otel]'"
    ]
