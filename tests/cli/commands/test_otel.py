"""`mpal otel`, and the doctor's report on the export."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from moonpalace_addons.settings import telemetry
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records.runs import begin_run, touch_run
from moonpalace_addons.store.state import State
from moonpalace_addons.store.telemetry.export_state import ExportState, written
from moonpalace_addons.store.write.host import new_run
from tests.cli.conftest import Mpal, Store
from tests.otlp_receiver import OtlpReceiver, attributes

REQUEST = {
    "model": "kimi-k3",
    "temperature": 0.5,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "看图"}, {"type": "image_url", "image_url": {"url": "data:"}}],
        },
        {"role": "assistant", "tool_calls": [{"id": "t-1", "function": {"name": "look", "arguments": '{"at": 1}'}}]},
        {"role": "tool", "tool_call_id": "t-1", "content": "a cat"},
    ],
}
ANSWER = {
    "choices": [
        {"message": {"role": "assistant", "reasoning_content": "Hm.", "content": "A cat."}, "finish_reason": "stop"}
    ]
}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """Give a receiver that the variable names."""
    with OtlpReceiver() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found


@pytest.fixture
def calls(store: Store) -> Store:
    """Store two calls of a model, another one, and one that has not ended."""
    store.add(request=json.dumps(REQUEST).encode(), response=json.dumps(ANSWER).encode())
    store.add(request=b"not JSON", response=b"", refused=True, error_message="connection refused")
    store.add(path="/v1/models", method="GET", completion_tokens=None)
    store.add(state=State.IN_FLIGHT)
    return store


def test_stored_calls_are_sent(calls: Store, mpal: Mpal, receiver: OtlpReceiver) -> None:
    """Calls of a model are sent, with their requests' parameters and without messages."""
    done = mpal("otel", "--all")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"2 calls sent to {receiver.url}/v1/traces; 2 left out, which asked no model or have not ended\n"
    first, second = (attributes(list(span.attributes)) for span in receiver.spans(2))
    assert (first["moonpalace.id"], first["gen_ai.request.temperature"]) == (1, 0.5)
    assert second["error.type"] == "connect"
    assert b"Be brief" not in receiver.bodies
    assert b"connection refused" not in receiver.bodies
    assert [path for path, _, _ in receiver.requests] == ["/v1/traces"]


def test_messages_are_sent_if_that_is_wanted(calls: Store, mpal: Mpal, receiver: OtlpReceiver) -> None:
    """They have the form of the conventions; images are named but not sent."""
    assert mpal("otel", "--otel-content", "1", "2").code == 0
    first, second = (attributes(list(span.attributes)) for span in receiver.spans(2))
    assert json.loads(str(first["gen_ai.input.messages"])) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {
            "role": "user",
            "parts": [{"type": "text", "content": "看图"}, {"type": "image_url", "content": "[image data:]"}],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "t-1", "name": "look", "arguments": {"at": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t-1", "response": "a cat"}]},
    ]
    assert json.loads(str(first["gen_ai.output.messages"])) == [
        {
            "role": "assistant",
            "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "A cat."}],
            "finish_reason": "stop",
        }
    ]
    assert second["error.message"] == "connection refused"


def test_spans_can_be_printed(calls: Store, mpal: Mpal) -> None:
    """--print shows what would be sent, and needs no receiver."""
    printed = [json.loads(line) for line in mpal("otel", "--all", "--print").out.splitlines()]
    assert [span["attributes"]["moonpalace.id"] for span in printed] == [1, 2]
    assert len(printed[0]["trace_id"]) == 32
    assert printed[0]["end"] - printed[0]["start"] == 1_676_003


@pytest.mark.parametrize(("answer", "words"), [(401, "answers 401 Unauthorized"), (404, "answers 404 Not Found")])
def test_a_receiver_that_refuses(calls: Store, mpal: Mpal, receiver: OtlpReceiver, answer: int, words: str) -> None:
    """One line has its answer, and how many calls it had accepted."""
    receiver.answer = answer
    done = mpal("otel", "--all")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"Error: {receiver.url}/v1/traces {words}; 0 of 4 calls were sent before\n"


def test_without_the_extra(calls: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setattr(telemetry, "NEEDED", ("opentelemetry.missing.package",))
    done = mpal("otel", "--all")
    assert (done.code, done.err) == (
        1,
        "Error: mpal otel requires OpenTelemetry's packages: pip install 'moonpalace[otel]'\n",
    )


def test_nothing_is_selected(calls: Store, mpal: Mpal) -> None:
    """It asks for a selection, as export does."""
    assert mpal("otel").code == 2


def test_the_doctor_tries_the_receiver(
    calls: Store, mpal: Mpal, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where calls are exported to, and any problem there."""
    assert f"\nexport        {receiver.url}/v1/traces takes spans\n" in mpal("doctor").out
    receiver.answer = 403
    result = mpal("doctor")
    assert result.code == 1
    assert f"  {receiver.url}/v1/traces answers 403 Forbidden\n    → start it, or correct OTEL_EXPORTER" in result.out
    assert json.loads(mpal("doctor", "--json").out)["export"] == f"{receiver.url}/v1/traces"
    monkeypatch.setenv("MOONPALACE_OTEL", "false")
    assert "export" not in mpal("doctor").out
    assert json.loads(mpal("doctor", "--json").out)["export"] is None


def test_the_doctor_says_how_the_export_of_a_proxy_stands(calls: Store, mpal: Mpal) -> None:
    """It reads the row of the run, without the proxy's variables; a problem is a finding until it is over."""
    place = "http://127.0.0.1:4318/v1/traces"
    state = ExportState(place, sent=5, left_out=2, left_out_since=0, problem="answers 503", problem_at=0, is_over=False)
    run = dict(new_run()) | {"pid": os.getppid()}
    with writing(calls.engine) as connection:
        begin_run(connection, run)
        touch_run(connection, str(run["id"]), {"export": written(state)})
    result = mpal("doctor")
    assert f"\nexport        process {run['pid']}: 5 calls taken, 0 waiting, 2 left out; since " in result.out
    assert f"  process {run['pid']} does not export calls: {place} answers 503\n    → once that is over, " in result.out
    (proxy,) = json.loads(mpal("doctor", "--json").out)["proxies"]
    assert proxy["export"]["left_out"] == 2
    with writing(calls.engine) as connection:
        touch_run(connection, str(run["id"]), {"export": written(replace(state, is_over=True))})
    assert "does not export" not in mpal("doctor").out


def test_a_variable_that_cannot_be_read(
    calls: Store, mpal: Mpal, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command sends, and reports the invalid value; so does the doctor."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key: sk-1")
    done = mpal("otel", "1")
    assert done.code == 0
    assert done.err.startswith("OTEL_EXPORTER_OTLP_HEADERS: item 1 is left out")
    assert "  OTEL_EXPORTER_OTLP_HEADERS: item 1 is left out" in mpal("doctor").out
    assert "sk-1" not in done.err


def test_the_doctor_without_the_extra(
    calls: Store, mpal: Mpal, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to install, however the export was requested."""
    monkeypatch.setattr(telemetry, "NEEDED", ("opentelemetry.missing.package",))
    missing = f"calls are not exported to {receiver.url}/v1/traces: the packages of OpenTelemetry are missing"
    assert f"  {missing}\n    → pip install 'moonpalace[otel]'\n" in mpal("doctor").out
    monkeypatch.setenv("MOONPALACE_OTEL", "true")
    assert "otel requires OpenTelemetry's packages" in mpal("doctor").out
