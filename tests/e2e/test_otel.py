"""Calls exported to OpenTelemetry by a proxy, to a receiver that decodes them."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.launching import Launcher, Proxy
from tests.otlp_receiver import OtlpReceiver, attributes
from tests.scenarios.server import MockServer

CHAT = "/v1/chat/completions"
KEY = "sk-of-the-exporter-0123456789"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
QUESTION = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello"}]}
SECRET = "sk-in-a-message-0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    """Provide a receiver."""
    with OtlpReceiver() as found:
        yield found


@pytest.fixture(scope="module")
def exporting(launch: Launcher, mock: MockServer, receiver: OtlpReceiver) -> Iterator[Proxy]:
    """Provide a proxy that also exports messages."""
    extra = receiver.environment | {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{KEY}"}
    with launch.start("--otel-content", endpoint=mock.url, extra=extra) as proxy:
        yield proxy


def test_a_call_arrives_once_it_is_stored(
    exporting: Proxy, mock: MockServer, receiver: OtlpReceiver, request_id: str
) -> None:
    """The span has the values of the row; the client's trace reaches the API unchanged, and no secret is exported."""
    headers = {"X-Request-Id": request_id, "traceparent": TRACEPARENT, "tracestate": "vendor=1"}
    body = {"model": "mock-echo", "stream": True, "temperature": 0.5, "max_tokens": 64}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Hello {SECRET}"}]
    with exporting.client() as client:
        assert client.post(CHAT, json=body | {"messages": messages}, headers=headers).status_code == 200
        client.get("/v1/models")
    row = exporting.row(request_id)
    (span,) = receiver.spans(1, row.id)
    said = attributes(list(span.attributes))
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("chat mock-echo", TRACE, SPAN)
    assert said["moonpalace.id"] == row.id
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (
        row.prompt_tokens,
        row.completion_tokens,
    )
    assert (said["gen_ai.request.temperature"], said["gen_ai.request.max_tokens"]) == (0.5, 64)
    assert said["server.port"] == int(mock.url.rpartition(":")[2])
    assert (span.end_time_unix_nano - span.start_time_unix_nano, row.latency) == (row.latency, row.latency)
    asked = json.loads(str(said["gen_ai.input.messages"]))
    assert [message["role"] for message in asked] == ["system", "user"]
    assert asked[1]["parts"][0]["content"].startswith("Hello ")
    answered = json.loads(str(said["gen_ai.output.messages"]))
    assert (answered[0]["role"], answered[0]["finish_reason"]) == ("assistant", "stop")
    (seen,) = [dict(call.headers) for call in mock.calls_of(request_id)]
    assert {name.lower(): value for name, value in seen.items()}["traceparent"] == TRACEPARENT
    assert SECRET.encode() not in receiver.bodies
    command = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True, text=True).stdout
    assert KEY not in command + exporting.log.text


def test_sending_it_again_gives_the_same_span(exporting: Proxy, receiver: OtlpReceiver, request_id: str) -> None:
    """`mpal otel` sends stored calls with the same ids and times, here without messages."""
    with exporting.client() as client:
        client.post(CHAT, json=QUESTION, headers={"X-Request-Id": request_id})
    row = exporting.row(request_id)
    (before,) = receiver.spans(1, row.id)
    done = exporting.mpal("otel", "--no-otel-content", "--since", "-1h", str(row.id))
    assert done.stdout.decode() == f"1 calls sent to {receiver.url}/v1/traces\n", done.stderr
    _, again = receiver.spans(2, row.id)
    same = ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano", "end_time_unix_nano", "name")
    assert [getattr(again, name) for name in same] == [getattr(before, name) for name in same]
    assert "gen_ai.input.messages" in attributes(list(before.attributes))
    assert "gen_ai.input.messages" not in attributes(list(again.attributes))
