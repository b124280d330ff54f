"""Calls with a silent upstream."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable

import pytest
from mitmproxy import ctx
from mitmproxy.addonmanager import Loader
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from moonpalace_addons import deadline
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.failures import CLIENT_SILENT, UPSTREAM_SILENT
from moonpalace_addons.calls.tap import Tap
from moonpalace_addons.calls.tunnel import Tunnel
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.deadline import Deadline, activity_of, end_silence, note_progress, silence, whose_silence
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.settings.values import resolve
from tests.addons.proxied import proxied

LIMIT = 0.02


class Connections:
    """Records calls to the connections of the flows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, reachable: bool = True) -> None:
        self.answers: list[tuple[HTTPFlow, int, bytes]] = []
        self.closed: list[HTTPFlow] = []
        self.reachable = reachable
        monkeypatch.setattr(flow_control, "answer_and_close", self.answer)
        monkeypatch.setattr(flow_control, "close_client", lambda flow, **_: self.closed.append(flow))

    def answer(self, flow: HTTPFlow, status: int, body: bytes) -> bool:
        """Note an answer."""
        self.answers.append((flow, status, body))
        return self.reachable


def a_call(calls: Calls | None = None) -> Call:
    """Return a call under way."""
    call = Call(tflow.tflow(), 0, [], "", "/v1/models")
    if calls is not None:
        calls.begin(call)
    return call


def test_silent_call_without_an_answer_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the answer begins, the client gets 504 as JSON with the limit and the setting."""
    connections, call = Connections(monkeypatch), a_call()
    end_silence(call, 960.0)
    ((flow, status, body),) = connections.answers
    assert call.given_up == (UPSTREAM_SILENT, "no byte from upstream for 960 s (setting idle-timeout)")
    assert flow is call.flow
    assert status == 504
    message = "no byte from upstream for 960 s (setting idle-timeout)"
    assert json.loads(body) == {"error": {"message": message, "type": "upstream_timeout"}}
    assert connections.closed == []


def test_silent_stream_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that has begun is closed; no second header is sent."""
    connections, call = Connections(monkeypatch), a_call()
    call.streaming = True
    end_silence(call, 960.0)
    assert (connections.answers, connections.closed) == ([], [call.flow])


def test_client_that_cannot_be_answered_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no answer can be sent, the connection is at least closed."""
    connections, call = Connections(monkeypatch, reachable=False), a_call()
    end_silence(call, 960.0)
    assert connections.closed == [call.flow]


def test_client_that_stops_sending_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that stops half-way gets 408, because upstream has not been asked yet."""
    connections, call = Connections(monkeypatch), a_call()
    call.flow.request.timestamp_end = None
    end_silence(call, 2.0)
    ((_, status, body),) = connections.answers
    message = "no byte of the request for 2 s (setting idle-timeout)"
    assert (status, json.loads(body)) == (408, {"error": {"message": message, "type": "client_timeout"}})
    assert call.given_up == (CLIENT_SILENT, message)


def test_client_that_stops_reading_is_not_upstreams_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """If bytes are waiting for the client, the client is at fault; each byte that it reads restarts the time."""
    Connections(monkeypatch)
    waiting = iter([500, 500, 700, 300, 0, 0])
    monkeypatch.setattr(flow_control, "unsent", lambda _: next(waiting))
    call = a_call()
    call.streaming = True
    seen = []
    for _ in range(6):
        call.touched = time.monotonic_ns() - 60_000_000_000
        note_progress(call)
        seen.append((silence(call) < 30, whose_silence(call)[0].kind))
    stuck, taking, over = (False, "client_timeout"), (True, "client_timeout"), (True, "upstream_timeout")
    assert seen == [stuck, stuck, stuck, taking, over, (False, "upstream_timeout")]
    call.unsent = 1
    end_silence(call, 2.0)
    assert call.given_up == (CLIENT_SILENT, "the client took no byte of the answer for 2 s (setting idle-timeout)")


def watch(calls: Calls, until: Callable[[], bool]) -> None:
    """Run the addon on a loop until the condition holds, within 5 s."""

    async def run() -> None:
        settings = resolve({"idle-timeout": str(LIMIT)}, {"MOONPALACE_HOME": "/nowhere"})
        addon = Deadline(Configuration(settings), calls)
        addon.running()
        async with asyncio.timeout(5):
            while not until():  # noqa: ASYNC110 - what is waited for is a state, not an event
                await asyncio.sleep(0)
        await addon.done()

    asyncio.run(run())


class Activity:
    """mitmproxy's times of the last activity on the connections of flows, by a clock that may be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.last: dict[str, float | None] = {}
        self.looks: list[HTTPFlow] = []
        monkeypatch.setattr(flow_control, "last_activity", self.of)
        monkeypatch.setattr(flow_control, "postpone_timeout", self.of)

    def of(self, flow: HTTPFlow) -> float | None:
        """Return it."""
        self.looks.append(flow)
        return self.last.get(flow.id, 0.0)


def test_only_silent_calls_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends once its connections have been silent for longer than the limit; others continue."""
    calls = Calls()
    silent, lively, gone = a_call(calls), a_call(calls), a_call(calls)
    given_up: list[Call] = []
    events = itertools.count()
    activity = Activity(monkeypatch)
    activity.last[gone.flow.id] = None

    def last_activity(flow: HTTPFlow) -> float | None:
        activity.looks.append(flow)
        return float(next(events)) if flow is lively.flow else activity.last.get(flow.id, 0.0)

    def give_up_once(call: Call, limit: float) -> None:
        call.given_up = UPSTREAM_SILENT, ""
        assert limit == LIMIT
        given_up.append(call)

    monkeypatch.setattr(flow_control, "last_activity", last_activity)
    monkeypatch.setattr(deadline, "end_silence", give_up_once)
    watch(calls, lambda: bool(given_up) and activity.looks.count(lively.flow) >= 10)
    assert given_up == [silent]


def test_fault_with_one_call_does_not_stop_the_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception for one call is logged, and the others still time out."""
    calls = Calls()
    faulty, silent = a_call(calls), a_call(calls)
    connections = Connections(monkeypatch)

    def last_activity(flow: HTTPFlow) -> float | None:
        if flow is faulty.flow:
            raise AttributeError("an unexpected mitmproxy")
        return 0.0

    Activity(monkeypatch)
    monkeypatch.setattr(flow_control, "last_activity", last_activity)
    watch(calls, lambda: bool(connections.answers))
    assert [flow for flow, _, _ in connections.answers] == [silent.flow]
    assert "a silent call could not be ended" in caplog.text


def test_without_settings_nothing_runs() -> None:
    """A proxy with invalid settings is about to exit: nothing is watched."""

    async def run() -> None:
        addon = Deadline(Configuration(), Calls())
        addon.running()
        assert len(asyncio.all_tasks()) == 1
        await addon.done()

    asyncio.run(run())


def test_silence_is_upstreams_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the headers, activity towards the client, such as a heartbeat, is not activity of upstream."""
    activity, call = Activity(monkeypatch), a_call()
    monkeypatch.setattr(flow_control, "unsent", lambda _: 0)
    Tap(call)
    assert call.touched is not None
    call.touched -= 60_000_000_000
    activity.last[call.flow.id] = 1.0
    note_progress(call)
    assert 60 <= silence(call) < 90


@pytest.mark.parametrize("events", [(1.0, 1.0), (1.0, 2.0), (2000.0, 1.0), (None, None)])
def test_silence_before_the_headers(monkeypatch: pytest.MonkeyPatch, events: tuple[float | None, float | None]) -> None:
    """Before the headers any activity on the connections counts, whatever its date; without any, none is silent."""
    activity, call = Activity(monkeypatch), a_call()
    for event in events:
        activity.last[call.flow.id] = event
        activity_of(call).at -= 60_000_000_000
        note_progress(call)
    assert (silence(call) >= 60) is (events == (1.0, 1.0))


class Watched(Deadline):
    """The addon, with a call for each flow, and one second as mitmproxy's own limit."""

    def load(self, _: Loader) -> None:
        """Set mitmproxy's limit, which connections take when they begin."""
        ctx.options.update(tcp_timeout=1)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Begin a call."""
        self.calls.begin(Call(flow, time.monotonic_ns(), [], "", "/"))

    def response(self, flow: HTTPFlow) -> None:
        """Make a tunnel of a call whose protocol changes."""
        call = self.calls.get(flow)
        if call is not None and flow.response is not None and flow.response.status_code == 101:
            call.add(Tunnel("foo", time.monotonic()))


def test_mitmproxys_own_timeout_cuts_no_tunnel() -> None:
    """On mitmproxy's server an idle tunnel stays open until our limit, even if its own is lower."""
    calls = Calls()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n")
        await asyncio.sleep(1.6)
        writer.write(b"late")
        await writer.drain()

    async def run() -> bytes:
        settings = resolve({"idle-timeout": "2.4"}, {"MOONPALACE_HOME": "/nowhere"})
        async with proxied(answer, Watched(Configuration(settings), calls)) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            return await reader.read(4)

    assert asyncio.run(run()) == b"late"
    (call,) = calls
    assert call.find(Tunnel) is not None


@pytest.mark.parametrize("step", [2000.0, -2000.0])
def test_a_clock_that_is_set_ends_no_call(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Setting the clock forward or back during a call brings neither our limit nor mitmproxy's nearer."""
    calls = Calls()
    real = time.time

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        monkeypatch.setattr(time, "time", lambda: real() + step)
        await asyncio.sleep(1.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async def run() -> tuple[bytes, float]:
        settings = resolve({"idle-timeout": "1.6"}, {"MOONPALACE_HOME": "/nowhere"})
        async with proxied(answer, Watched(Configuration(settings), calls)) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answered = await reader.readuntil(b"ok")
            (call,) = calls
            return answered, silence(call)

    answered, silent = asyncio.run(run())
    assert answered.startswith(b"HTTP/1.1 200")
    assert silent < 1.6


def test_a_clock_that_is_set_back_makes_no_limit_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent call times out punctually although the clock was set back meanwhile."""
    connections, calls = Connections(monkeypatch), Calls()
    call = a_call(calls)
    Activity(monkeypatch)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 2000)
    watch(calls, lambda: bool(connections.answers))
    assert [flow for flow, _, _ in connections.answers] == [call.flow]
