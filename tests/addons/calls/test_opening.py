"""When an answer's header is sent, and which one."""

import asyncio
import gzip
import json
import time
from collections.abc import Sequence

import pytest
from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.test import tflow, tutils

from moonpalace_addons.calls import opening
from moonpalace_addons.calls.adapter import BEGAN_WITH_ERROR, NOT_WHOLE, UNREADABLE, Adapter
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import UPSTREAM_CUT, Failure
from moonpalace_addons.calls.opening import MAX_HELD, Forced, Hold
from moonpalace_addons.calls.stream_edit import StreamEdit, adapter_of
from moonpalace_addons.capture import started
from moonpalace_addons.edit_stream import make_decoder
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.codings.sniffer import Sniffer
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS


def event(value: object) -> bytes:
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


ROLE = event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
HELLO = event({"choices": [{"delta": {"content": "Hello"}}]})
STOP = event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
DONE = event("[DONE]")
ERROR = event({"error": {"type": "rate_limit_reached_error", "message": "slow down"}})


class Rig:
    """A call whose answer has begun; calls to its connection are recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, label: str = "application/json", encoding: str = "") -> None:
        self.ended: list[HTTPFlow] = []
        self.closed: list[HTTPFlow] = []
        self.beats: list[HTTPFlow] = []
        monkeypatch.setattr(flow_control, "end_response", self.ended.append)
        monkeypatch.setattr(flow_control, "close_client", self.closed.append)
        monkeypatch.setattr(flow_control, "inject_heartbeat", self.beats.append)
        monkeypatch.setattr(flow_control, "is_over", lambda flow: flow.error is not None)
        self.flow = tflow.tflow()
        headers = {"Content-Type": label, "Content-Encoding": encoding, "X-Kept": "1", "Transfer-Encoding": "chunked"}
        fields = [(name.encode(), value.encode()) for name, value in headers.items() if value]
        self.flow.response = tutils.tresp(headers=Headers(fields), content=None)
        self.flow.response.stream = False
        self.call = Call(self.flow, time.monotonic_ns(), [], "", "/v1/chat/completions")
        self.call.response = started(self.call, self.flow.response)
        self.announced = 0

    def announce(self) -> None:
        """Count how often the answer was announced."""
        self.announced += 1

    def hold(self) -> Hold:
        """Return the gate that holds the answer back."""
        return self.call.add(Hold(self.flow, self.call, self.announce))

    def forced(self, label: str = "text/event-stream") -> Forced:
        """Return the gate that holds the answer back as a forced stream."""
        assert self.flow.response is not None
        editor = StreamEditor(Plan(CHAT_COMPLETIONS, coerce=True), label)
        adapter = Adapter(self.flow, self.call, make_decoder(self.flow.response.headers), editor, coerce=True)
        self.call.add(StreamEdit(coerce=True, adapter=adapter))
        return Forced(self.flow, self.call, adapter)

    def stream(self) -> object:
        """Return the stream callable of the answer."""
        assert self.flow.response is not None
        return self.flow.response.stream

    def head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the headers."""
        assert self.flow.response is not None
        return self.flow.response.status_code, dict(self.flow.response.headers)


def took(gate: Hold | Forced, *pieces: bytes) -> list[Sequence[bytes] | None]:
    """Return the output of a gate for each piece and at the end, on its own event loop."""

    async def take() -> list[Sequence[bytes] | None]:
        return [*[gate.take([piece]) for piece in pieces], gate.end()]

    return asyncio.run(take())


# ---- documents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [b"{", b"\n {", b"\xef\xbb\xbf{"])
def test_a_document_is_held_back_until_it_is_whole(monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    """A document is held back completely; its pieces are kept with their arrival times."""
    rig = Rig(monkeypatch)
    hold = rig.hold()
    assert took(hold, begin, b'"a": 1', b"}") == [None] * 4
    assert hold.whole == begin + b'"a": 1}'
    assert [data for _, data in rig.call.answer.chunks] == [begin, b'"a": 1', b"}"]
    assert (rig.announced, rig.call.streaming, rig.stream()) == (0, False, False)


@pytest.mark.parametrize("first", [b"\n", b" ", b": hb\n\n", b"data: {", b"[", b'"', b"x", b"\xff"])
def test_all_else_passes_at_once(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    """Whitespace on its own, events and anything but an object pass with their first byte."""
    rig = Rig(monkeypatch)
    assert took(rig.hold(), first)[0] == [first]
    assert (rig.announced, rig.call.streaming) == (1, True)
    assert callable(rig.stream())
    assert rig.head()[1]["Transfer-Encoding"] == "chunked"


def test_encoded_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoded bytes decide; the bytes pass unchanged."""
    for text, passes in ((b'{"a": 1}', False), (b"\n", True), (b"data: {}", True)):
        rig = Rig(monkeypatch, encoding="gzip")
        packed = gzip.compress(text)
        output = took(rig.hold(), packed[:5], packed[5:])
        assert output[0] is None
        assert output[1] == ([packed[:5], packed[5:]] if passes else None)


def test_a_large_document_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large document is not held back in memory."""
    rig = Rig(monkeypatch)
    pieces = [b'{"a": "', b"x" * MAX_HELD]
    assert took(rig.hold(), *pieces)[:2] == [None, pieces]
    assert rig.announced == 1


def test_a_slow_document_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time limit it passes, whether or not data arrives; once it is over, no timer runs."""
    monkeypatch.setattr(opening, "HOLD_TIME", 0.01)
    monkeypatch.setattr(opening, "RETRY_INTERVAL", 0.01)

    async def run() -> None:
        silent, slow, over = Rig(monkeypatch), Rig(monkeypatch), Rig(monkeypatch)
        held, late, failed = silent.hold(), slow.hold(), over.hold()
        assert held.take([b"{"]) is late.take([b"{"]) is failed.take([b"{"]) is None
        over.flow.error = tflow.terr()
        async with asyncio.timeout(5):
            while len(over.beats) < 4:  # noqa: ASYNC110 - those of all rigs go to the last one
                await asyncio.sleep(0)
        assert over.flow not in over.beats
        assert held.beat() == [b"{"]
        assert late.take([b"}"]) == [b"{", b"}"]
        assert late.call.streaming
        await asyncio.sleep(0.05)
        beats = len(over.beats)
        await asyncio.sleep(0.05)
        assert len(over.beats) == beats

    asyncio.run(run())


def test_a_document_of_known_length_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that was complete before its header was sent is held back until it has arrived, however slowly."""
    monkeypatch.setattr(opening, "HOLD_TIME", 0)
    rig = Rig(monkeypatch)
    assert rig.flow.response is not None
    rig.flow.response.headers["Content-Length"] = "2"
    hold = rig.hold()
    assert took(hold, b"{", b"}") == [None] * 3
    assert (hold.beat(), hold.whole) == (None, b"{}")


def test_no_heartbeat_gets_into_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the time limit nothing is sent, and afterwards only the document."""
    rig = Rig(monkeypatch)

    async def run() -> None:
        hold = rig.hold()
        assert hold.take([b"{"]) is None
        assert hold.beat() is None
        hold.take([b"x" * (MAX_HELD + 1)])

    asyncio.run(run())
    stream = rig.stream()
    assert callable(stream)
    assert stream(flow_control.HEARTBEAT) == []
    assert len(rig.call.answer.chunks) == 2


def test_fault_costs_no_byte(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """If the form of an answer cannot be determined, it passes."""

    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(Sniffer, "feed", fail)
    rig = Rig(monkeypatch)
    assert took(rig.hold(), b"{")[0] == [b"{"]
    hold = Rig(monkeypatch).hold()
    hold.make_adapter = fail  # type: ignore[assignment]
    assert took(hold, b"\n")[0] == [b"\n"]
    assert len(caplog.records) == 3


# ---- forced streams -----------------------------------------------------------------------------------------------

COERCED = (200, {"X-Kept": "1", "Transfer-Encoding": "chunked", "Content-Type": "application/json; charset=utf-8"})


def test_the_head_goes_out_with_the_first_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments and the announcement of an answer do not count as content."""
    rig = Rig(monkeypatch, "text/event-stream", "gzip")
    packed = [gzip.compress(part) for part in (b": hb\n\n", ROLE, HELLO)]
    assert took(rig.forced(), *packed)[:3] == [None, None, []]
    assert (rig.head(), rig.call.streaming, rig.stream()) == (COERCED, True, adapter_of(rig.call))
    assert [data for _, data in rig.call.answer.chunks] == packed


def test_the_head_goes_out_with_the_first_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has waited long gets a space; after that an error is a broken transfer."""
    rig = Rig(monkeypatch, "text/event-stream")
    forced = rig.forced()
    assert forced.take([ROLE]) is None
    assert forced.beat() == [b" "]
    assert rig.head() == COERCED
    adapter = adapter_of(rig.call)
    assert adapter is not None
    assert list(adapter(ERROR)) == []
    assert (rig.closed, adapter.refusal) == ([rig.flow], None)


def failure_of(rig: Rig) -> tuple[Failure, str] | None:
    """Return why the adapter of a forced stream ended it."""
    adapter = adapter_of(rig.call)
    assert adapter is not None
    return adapter.failure


@pytest.mark.parametrize("before", [b"", b": hb\n\n", ROLE])
@pytest.mark.parametrize(
    ("data", "status", "kind", "failure", "warning"),
    [
        (ERROR + HELLO, 429, "rate_limit_reached_error", None, f"{BEGAN_WITH_ERROR} 429"),
        (event({"error": {"message": "?"}}), 500, None, None, f"{BEGAN_WITH_ERROR} 500"),
        (event("nope") + HELLO, 502, "upstream_cut", (UPSTREAM_CUT, UNREADABLE), UNREADABLE),
    ],
)
def test_what_fails_before_any_content_has_a_status(
    monkeypatch: pytest.MonkeyPatch,
    before: bytes,
    data: bytes,
    status: int,
    kind: str | None,
    failure: tuple[Failure, str] | None,
    warning: str,
) -> None:
    """The client gets an error in JSON, and nothing that arrives later; the request to the API is cancelled."""
    rig = Rig(monkeypatch, "text/event-stream")
    forced = rig.forced()
    assert took(forced, *([before] if before else []), data, HELLO, DONE)[-3:] == [None, None, None]
    assert forced.beat() is None
    code, headers = rig.head()
    assert (code, headers["Content-Type"], headers["Content-Length"]) == (
        status,
        "application/json",
        str(len(forced.whole)),
    )
    assert "Transfer-Encoding" not in headers
    assert json.loads(forced.whole)["error"].get("type") == kind
    assert (failure_of(rig), rig.call.warnings, rig.ended) == (failure, [warning], [rig.flow])
    assert (rig.call.streaming, rig.stream(), rig.closed) == (False, False, [])


@pytest.mark.parametrize(
    "data",
    [
        event({"error": {"message": "too long"}}),
        event([{"error": {"message": "too long"}}]),
        event({"object": "error", "message": "too long", "code": 400}),
        event({"code": 1302, "msg": "too long"}),
        event({"base_resp": {"status_code": 1008, "status_msg": "too long"}}),
        event({"detail": "too long"}),
        event({"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "too long"}}]}),
        b"event: error\ndata: too long\n\n",
    ],
)
def test_what_an_error_says_reaches_the_client(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Whatever the form of a forced stream's error, the client gets its message where SDKs look for it."""
    rig = Rig(monkeypatch, "text/event-stream")
    forced = rig.forced()
    took(forced, data, DONE)
    assert json.loads(forced.whole)["error"]["message"] == "too long"


@pytest.mark.parametrize("pieces", [[], [b": hb\n\n"], [ROLE], [DONE], [b"data: {"]])
def test_a_stream_of_nothing_has_a_status(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]) -> None:
    """If a stream ends before any content, its client gets an error with a status."""
    rig = Rig(monkeypatch, "text/event-stream")
    forced = rig.forced()
    assert set(took(forced, *pieces)) == {None}
    assert (rig.head()[0], json.loads(forced.whole)["error"]["type"]) == (502, "upstream_cut")
    assert (failure_of(rig), rig.ended, rig.closed) == ((UPSTREAM_CUT, NOT_WHOLE), [], [])


@pytest.mark.parametrize("data", [HELLO + ERROR, HELLO + event("nope") + STOP, STOP + ERROR])
def test_what_fails_after_content_breaks(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Even if everything arrives together, the header is sent first, and the connection is closed afterwards."""
    rig = Rig(monkeypatch, "text/event-stream")
    forced = rig.forced()
    assert took(forced, data)[0] == []
    assert (forced.breaks, rig.head(), rig.call.streaming) == (True, COERCED, True)
    assert failure_of(rig)


def test_an_answer_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete answer without content is an answer."""
    rig = Rig(monkeypatch, "text/event-stream")
    assert took(rig.forced(), ROLE + DONE)[0] == []
    assert rig.head() == COERCED


@pytest.mark.parametrize("label", ["text/event-stream", "application/json", "text/plain", ""])
def test_json_instead_of_a_stream_keeps_its_head(monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    """A document is held back until it is whole, and nothing about it changes."""
    rig = Rig(monkeypatch, label, "gzip")
    before, packed = rig.head(), gzip.compress(b'\n{"a": 1}')
    forced = rig.forced(label)
    assert set(took(forced, packed[:-2], packed[-2:])) == {None}
    assert (forced.whole, rig.head(), adapter_of(rig.call)) == (packed, before, None)
    assert [data for _, data in rig.call.answer.chunks] == [packed[:-2], packed[-2:]]


def test_a_page_instead_of_a_stream_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything that is neither events nor a document passes immediately with its own header."""
    rig = Rig(monkeypatch, "text/html")
    before = rig.head()
    assert took(rig.forced("text/html"), b"\n", b"<html>")[:2] == [None, [b"\n", b"<html>"]]
    assert (rig.head(), rig.call.streaming, adapter_of(rig.call)) == (before, True, None)


@pytest.mark.parametrize(("label", "body"), [("application/json", b""), ("", b"\n"), ("text/plain", b"data")])
def test_of_nothing_the_label_decides(monkeypatch: pytest.MonkeyPatch, label: str, body: bytes) -> None:
    """An answer that ends before its form is known, and is not labelled as a stream, passes unchanged."""
    rig = Rig(monkeypatch, label)
    before = rig.head()
    forced = rig.forced(label)
    output = took(forced, *([body] if body else []))
    assert b"".join(output[-1] or [forced.whole]) == body
    assert rig.head() == before
