"""Calls whose upstream is silent."""

import asyncio
import json
import time
from collections.abc import Callable

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from moonpalace_addons import deadline, upstream
from moonpalace_addons.calls import Call, Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.deadline import Deadline, give_up, note_progress, silence, whose_silence
from moonpalace_addons.failures import CLIENT_SILENT, UPSTREAM_SILENT
from moonpalace_addons.settings import resolve
from moonpalace_addons.tap import Tap

LIMIT = 0.02


class Connections:
    """What is asked of the connections under the flows, kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, reachable: bool = True) -> None:
        self.answers: list[tuple[HTTPFlow, int, bytes]] = []
        self.closed: list[HTTPFlow] = []
        self.reachable = reachable
        monkeypatch.setattr(upstream, "answer_and_close", self.answer)
        monkeypatch.setattr(upstream, "close_client", self.closed.append)

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
    """While there is none of the answer, the client gets 504 as JSON with the limit and the setting."""
    connections, call = Connections(monkeypatch), a_call()
    give_up(call, 960.0)
    ((flow, status, body),) = connections.answers
    assert call.given_up == (UPSTREAM_SILENT, "no byte from upstream for 960 s (setting idle-timeout)")
    assert flow is call.flow
    assert status == 504
    message = "no byte from upstream for 960 s (setting idle-timeout)"
    assert json.loads(body) == {"error": {"message": message, "type": "upstream_timeout"}}
    assert connections.closed == []


def test_silent_stream_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream whose head is out is closed as it is; no second head is written into it."""
    connections, call = Connections(monkeypatch), a_call()
    call.streaming = True
    give_up(call, 960.0)
    assert (connections.answers, connections.closed) == ([], [call.flow])


def test_client_that_cannot_be_answered_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no answer can be written the connection is closed at least."""
    connections, call = Connections(monkeypatch, reachable=False), a_call()
    give_up(call, 960.0)
    assert connections.closed == [call.flow]


def test_client_that_stops_sending_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that falls silent half-way gets 408: upstream has not even been asked."""
    connections, call = Connections(monkeypatch), a_call()
    call.flow.request.timestamp_end = None
    give_up(call, 2.0)
    ((_, status, body),) = connections.answers
    message = "no byte of the request for 2 s (setting idle-timeout)"
    assert (status, json.loads(body)) == (408, {"error": {"message": message, "type": "client_timeout"}})
    assert call.given_up == (CLIENT_SILENT, message)


def test_client_that_stops_reading_is_not_upstreams_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bytes wait for the client, it is the one that is given up; each byte that it takes begins the time anew."""
    Connections(monkeypatch)
    waiting = iter([500, 500, 700, 300, 0, 0])
    monkeypatch.setattr(upstream, "unsent", lambda _: next(waiting))
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
    give_up(call, 2.0)
    assert call.given_up == (CLIENT_SILENT, "the client took no byte of the answer for 2 s (setting idle-timeout)")


def watch(calls: Calls, until: Callable[[], bool]) -> None:
    """Run the addon on a loop until something holds, which must be within 5 s."""

    async def run() -> None:
        settings = resolve({"idle-timeout": str(LIMIT)}, {"MOONPALACE_HOME": "/nowhere"})
        addon = Deadline(Configuration(settings), calls)
        addon.running()
        async with asyncio.timeout(5):
            while not until():  # noqa: ASYNC110 - what is waited for is a state, not an event
                await asyncio.sleep(0)
        await addon.done()

    asyncio.run(run())


def test_only_silent_calls_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is given up once, when its connections have been silent for longer than the limit; others go on."""
    calls = Calls()
    silent, lively, gone = a_call(calls), a_call(calls), a_call(calls)
    given_up: list[Call] = []
    looks: list[HTTPFlow] = []

    def last_activity(flow: HTTPFlow) -> float | None:
        looks.append(flow)
        return {silent.flow.id: time.time() - 1, lively.flow.id: time.time() + 60, gone.flow.id: None}[flow.id]

    def give_up_once(call: Call, limit: float) -> None:
        call.given_up = UPSTREAM_SILENT, ""
        assert limit == LIMIT
        given_up.append(call)

    monkeypatch.setattr(upstream, "last_activity", last_activity)
    monkeypatch.setattr(deadline, "give_up", give_up_once)
    watch(calls, lambda: looks.count(lively.flow) >= 3)
    assert given_up == [silent]


def test_fault_with_one_call_does_not_stop_the_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault while one call is looked at is logged, and the others are still given up."""
    calls = Calls()
    faulty, silent = a_call(calls), a_call(calls)
    connections = Connections(monkeypatch)

    def last_activity(flow: HTTPFlow) -> float | None:
        if flow is faulty.flow:
            raise AttributeError("an unexpected mitmproxy")
        return 0.0

    monkeypatch.setattr(upstream, "last_activity", last_activity)
    watch(calls, lambda: bool(connections.answers))
    assert [flow for flow, _, _ in connections.answers] == [silent.flow]
    assert "a silent call could not be given up" in caplog.text


def test_without_settings_nothing_runs() -> None:
    """A proxy whose settings are wrong is about to end: nothing is watched."""

    async def run() -> None:
        addon = Deadline(Configuration(), Calls())
        addon.running()
        assert len(asyncio.all_tasks()) == 1
        await addon.done()

    asyncio.run(run())


def test_silence_is_upstreams_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the headers are there, what we do with the client, such as a heartbeat, is nothing that upstream said."""
    monkeypatch.setattr(upstream, "last_activity", lambda _: time.time() + 60)
    call = a_call()
    assert silence(call) < 0
    Tap(call)
    assert call.touched is not None
    assert 0 <= silence(call) < 30
    call.touched -= 60_000_000_000
    assert 60 <= silence(call) < 90


@pytest.mark.parametrize(("seconds", "expected"), [(None, 0.0), (60.0, 60.0)])
def test_silence_before_the_headers(monkeypatch: pytest.MonkeyPatch, seconds: float | None, expected: float) -> None:
    """Before the headers the last event on the connections counts; where these are gone nothing is silent."""
    now = time.time()
    monkeypatch.setattr(upstream, "last_activity", lambda _: None if seconds is None else now - seconds)
    assert expected <= silence(a_call()) < expected + 30
