"""An exception of ours wherever streams are relayed that are edited: the client gets what it would get without one."""

import asyncio
import json
import logging
import ssl
from typing import cast

import pytest

from moonpalace_addons.adapter import LOOP_WARNING, NOT_PASSED_ON, Adapter
from moonpalace_addons.relay import LEFT, SLOWER
from moonpalace_addons.wire.loop_guard import LoopGuard
from moonpalace_addons.wire.repeat import Detector, Loop
from moonpalace_addons.wire.stream_editor import Plan
from tests.addons.faulty import (
    CHUNKED,
    FAULTS,
    PLACES,
    Answers,
    Fault,
    at_every_call,
    method,
    noted,
    read_answer,
    serving,
    turns,
)
from tests.addons.proxied import framed, proxied


class FiresAtLoop:
    """A detector that finds a loop in the text LOOP."""

    def feed(self, text: str) -> Loop | None:
        """Find it."""
        return Loop("period", 4, 4, "LOOP") if "LOOP" in text else None


def event(text: str, reason: str | None = None) -> bytes:
    """Return an event of a chat stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return f"data: {json.dumps({'id': 'c1', 'choices': [choice]})}\n\n".encode()


def cut(*events: bytes) -> tuple[bytes, ...]:
    """Return a chunked transfer of events in reads that cut them."""
    _, pieces, end = framed("chunked", *events)
    whole = b"".join(pieces) + end
    return tuple(whole[at : at + 70] for at in range(0, len(whole), 70))


DONE = b"data: [DONE]\n\n"
WHOLE = (event("Hello"), event(" wor"), event("ld", "stop"), DONE)
LOOPING = (event("Hello"), event(" LOOP"), event("never sent") * 4, DONE)


def edited(coerce: bool) -> Answers:
    """Return what edits streams: merges them, or only guards them."""
    return Answers(Plan(coerce, hide_usage=False, make_guard=lambda: LoopGuard(lambda: cast(Detector, FiresAtLoop()))))


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("coerce", [False, True], ids=["guarded", "forced"])
@pytest.mark.parametrize(("place", "lasting"), FAULTS)
def test_fault_while_a_stream_is_edited(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tls: ssl.SSLContext,
    place: str,
    coerce: bool,
    lasting: bool,
    is_tls: bool,
) -> None:
    """The client gets what it would get without a fault: the stream, or the one answer made of it."""
    fault, answers = Fault(lasting), edited(coerce)
    PLACES[place](monkeypatch, fault)

    async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await read_answer(reader, writer)
        if coerce:
            assert json.loads(got)["choices"][0]["message"]["content"] == "Hello world"
        else:
            assert got == b"".join(WHOLE)
        await turns()
        assert answers.kept() == b"".join(WHOLE)
        assert noted(answers, caplog) == ([LEFT] * fault.fired, [SLOWER] * fault.fired)

    with caplog.at_level(logging.ERROR):
        calls = at_every_call(fault, serving(CHUNKED, cut(*WHOLE)), answers, check, tls if is_tls else None)
    assert calls or (is_tls and place == "at_once") or (not is_tls and place == "_keep")
    assert answers.over == ["response"] * (calls + 1)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("coerce", [False, True], ids=["guarded", "forced"])
@pytest.mark.parametrize("place", PLACES)
def test_fault_before_a_loop(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tls: ssl.SSLContext,
    place: str,
    coerce: bool,
    is_tls: bool,
) -> None:
    """A loop is still found, and ends both sides; the next call works."""
    fault, answers = Fault(lasting=False), edited(coerce)
    PLACES[place](monkeypatch, fault)

    async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await read_answer(reader, writer)
        if coerce:
            choice = json.loads(got)["choices"][0]
            assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello LOOP", "repeat")
        else:
            assert got.startswith(b"".join(LOOPING[:2]))
            assert got.endswith(b'"finish_reason":"repeat"}]}\n\n' + DONE)
        await turns()
        logged, warnings = noted(answers, caplog)
        assert logged == [LEFT] * bool(fault.fired)
        assert sorted(warnings) == sorted([SLOWER] * bool(fault.fired) + [LOOP_WARNING])

    with caplog.at_level(logging.ERROR):
        calls = at_every_call(fault, serving(CHUNKED, cut(*LOOPING)), answers, check, tls if is_tls else None)
    assert answers.over == ["response"] * (calls + 1)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_fault_of_the_adapter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tls: ssl.SSLContext, lasting: bool, is_tls: bool
) -> None:
    """Should an adapter ever raise, nobody knows what the client was to get: a transfer that breaks."""
    for at in range(2):
        fault, answers = Fault(lasting, at), edited(coerce=False)

        async def run(answers: Answers = answers) -> None:
            async with proxied(serving(CHUNKED, cut(*WHOLE)), answers, tls if is_tls else None) as (reader, writer):
                with pytest.raises((asyncio.IncompleteReadError, OSError)):
                    await read_answer(reader, writer)

        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            method(Adapter, "together")(patch, fault)
            asyncio.run(run())
        assert noted(answers, caplog) == ([LEFT], [SLOWER, NOT_PASSED_ON])
        assert answers.calls[-1].broken == NOT_PASSED_ON
        assert len(answers.over) == 1
