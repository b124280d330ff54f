"""Which answers are edited, and that their headers match the output."""

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.test import tflow, tutils

from moonpalace_addons.calls.adapter import LINGERED, Adapter
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.opening import Forced, Hold
from moonpalace_addons.calls.stream_edit import StreamEdit, adapter_of
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.edit_stream import UNREADABLE, EditStream, make_plan
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.settings.values import Settings, resolve
from tests.tables import for_each

STREAM = b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def settings(**given: str) -> Settings:
    values: dict[str, object | None] = {name.replace("_", "-"): value for name, value in given.items()}
    return resolve(values, {"MOONPALACE_HOME": "/nowhere"})


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the connection of these flows: nothing can be held back."""
    monkeypatch.setattr(flow_control, "connection_of", lambda _: None)


def held_back(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Hold answers back as if they had a connection; return the gates."""
    gates: list[object] = []

    def hold(_: HTTPFlow, gate: object) -> bool:
        gates.append(gate)
        return True

    monkeypatch.setattr(flow_control, "hold_answer", hold)
    return gates


class Rig:
    """The addon with one call whose answer has begun."""

    def __init__(self, *, path: str = "/v1/chat/completions", **given: str) -> None:
        self.calls = Calls()
        self.addon = EditStream(Configuration(settings(**given)), self.calls)
        self.flow = tflow.tflow(resp=True)
        self.call = Call(self.flow, 0, [], "", path)
        self.calls.begin(self.call)

    def answer(self, *, status: int = 200, **headers: str) -> Headers:
        """Send the header of an answer through the addon; return it as the client gets it."""
        given = {"Content-Type": "text/event-stream"} | {name.replace("_", "-"): text for name, text in headers.items()}
        fields = Headers([(name.encode(), value.encode()) for name, value in given.items() if value])
        self.flow.response = tutils.tresp(status_code=status, headers=fields, content=None)
        self.addon.responseheaders(self.flow)
        return self.flow.response.headers

    def stream(self) -> object:
        """Return the callable that mitmproxy calls with each piece of the answer."""
        assert self.flow.response is not None
        return self.flow.response.stream


GUARD = {"detect_repeat": "true"}


@for_each("more", [{}, {"Content_Length": "500"}, {"Transfer_Encoding": "chunked"}, {"Content_Encoding": "gzip"}])
@for_each(
    ("client", "api", "expected"),
    [
        ("HTTP/1.1", "HTTP/1.1", {"Transfer-Encoding": "chunked", "Connection": "close"}),
        ("HTTP/1.0", "HTTP/1.1", {"Connection": "close"}),
        ("HTTP/1.1", "HTTP/1.0", {"Connection": "close"}),
        ("HTTP/2.0", "HTTP/1.1", {}),
    ],
)
@for_each("coerce", [False, True])
def test_headers_are_true(coerce: bool, client: str, api: str, expected: dict[str, str], more: dict[str, str]) -> None:
    """Length and encoding match the output, in the form of the client's HTTP version."""
    rig = Rig(**GUARD)
    rig.call.add(StreamEdit(coerce))
    rig.flow.request.http_version = client
    fields = Headers([(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()])
    fields["Content-Type"] = "text/event-stream; charset=utf-8"
    fields["Msh-Request-Id"] = "r"
    rig.flow.response = tutils.tresp(headers=fields, content=None)
    rig.flow.response.http_version = api
    rig.addon.responseheaders(rig.flow)
    content_type = "application/json; charset=utf-8" if coerce else "text/event-stream; charset=utf-8"
    assert dict(rig.flow.response.headers) == {"Content-Type": content_type, "Msh-Request-Id": "r"} | expected


@pytest.mark.parametrize(
    ("coerce", "hide", "given"), [(True, False, {}), (False, True, {}), (False, False, GUARD), (True, False, GUARD)]
)
def test_adapter_is_put_in(coerce: bool, hide: bool, given: dict[str, str]) -> None:
    """An answer that must be merged, filtered or guarded gets an adapter, which its call knows."""
    rig = Rig(**given)
    rig.call.add(StreamEdit(coerce, hide))
    rig.answer()
    adapter = rig.stream()
    assert isinstance(adapter, Adapter)
    assert (adapter_of(rig.call), rig.call.streaming, adapter.coerce) == (adapter, True, coerce)


@pytest.mark.parametrize(
    "headers",
    [
        {"status": "204"},
        {"status": "302"},
        {"status": "429"},
        {"status": "500"},
        {"Content_Length": "0"},
    ],
)
def test_other_answers_pass_untouched(headers: dict[str, str]) -> None:
    """Errors of the API and empty answers are unchanged, including their headers."""
    rig = Rig(force_stream="true", **GUARD)
    rig.call.add(StreamEdit(coerce=True))
    status = int(headers.pop("status", "200"))
    before = {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    got = rig.answer(status=status, Content_Encoding="gzip", **headers)
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    assert dict(got) == {name: value for name, value in (before | changed).items() if value}
    assert (adapter_of(rig.call), rig.stream(), rig.call.streaming) == (None, False, False)


@pytest.mark.parametrize("status", [200, 201, 206, 299])
@pytest.mark.parametrize("label", ["text/event-stream", "application/json", "text/plain", ""])
def test_what_was_forced_is_held_back_until_its_form_is_known(
    monkeypatch: pytest.MonkeyPatch, label: str, status: int
) -> None:
    """Whatever its label, an answer may be the requested stream: its header is held back, unchanged."""
    gates = held_back(monkeypatch)
    rig = Rig(force_stream="true", **GUARD)
    rig.call.add(StreamEdit(coerce=True))
    got = rig.answer(status=status, Content_Type=label, Content_Length="500")
    assert dict(got) == ({"Content-Type": label} if label else {}) | {"Content-Length": "500"}
    (opening,) = gates
    assert isinstance(opening, Forced)
    assert (rig.stream(), rig.call.streaming) == (False, False)
    assert adapter_of(rig.call) is opening.adapter


@pytest.mark.parametrize("label", ["text/event-stream", "text/plain", "application/octet-stream", ""])
def test_a_stream_is_watched_under_any_label(label: str) -> None:
    """Streams that only pass are guarded under any label, without delay."""
    rig = Rig(**GUARD)
    rig.answer(Content_Type=label)
    assert isinstance(rig.stream(), Adapter)


def test_a_stream_that_is_called_json_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer held back as a JSON document gets an adapter if it turns out to be a stream."""
    rig = Rig(**GUARD)
    held_back(monkeypatch)
    rig.flow.response = tutils.tresp(headers=Headers([(b"Content-Type", b"application/json")]), content=None)
    hold = rig.call.add(Hold(rig.flow, rig.call))
    rig.addon.responseheaders(rig.flow)
    assert hold.make_adapter is not None
    assert hold.take([STREAM[:9]]) == [STREAM[:9]]
    adapter = rig.stream()
    assert isinstance(adapter, Adapter)
    assert adapter_of(rig.call) is adapter
    assert [*adapter(STREAM[9:]), *adapter(b"")] == [STREAM[9:]]
    assert [data for _, data in rig.call.answer.chunks] == [STREAM[:9], STREAM[9:]]


def test_head_and_unknown_calls_pass_untouched() -> None:
    """An answer to HEAD has no body to edit; one that is not captured is ignored."""
    rig = Rig(**GUARD)
    rig.flow.request.method = "HEAD"
    assert dict(rig.answer(Content_Length="500")) == {"Content-Type": "text/event-stream", "Content-Length": "500"}
    rig.flow.request.method = "POST"
    rig.calls.end(rig.flow)
    rig.answer()
    assert rig.stream() is False


@pytest.mark.parametrize("coerce", [False, True])
def test_encoding_that_we_do_not_know(coerce: bool) -> None:
    """A stream in an unknown encoding passes with its header; only one that must be merged is tried undecoded."""
    rig = Rig(**GUARD)
    rig.call.add(StreamEdit(coerce))
    headers = rig.answer(Content_Encoding="utf-8")
    assert rig.call.warnings == ([] if coerce else [UNREADABLE])
    if not coerce:
        assert (headers["Content-Encoding"], rig.stream()) == ("utf-8", False)
        return
    adapter = rig.stream()
    assert isinstance(adapter, Adapter)
    assert "Content-Encoding" not in headers
    assert list(adapter(STREAM)) == []
    assert b"".join(adapter(b"")).startswith(b'{"object":"chat.completion"')


@pytest.mark.parametrize(
    ("path", "given", "guarded"),
    [
        ("/v1/chat/completions", {}, False),
        ("/v1/chat/completions", GUARD, True),
        ("/v1/chat/completions", GUARD | {"repeat_threshold": "0"}, False),
        ("/anthropic/v1/messages", GUARD, True),
        ("/v1/embeddings", GUARD, False),
    ],
)
def test_what_is_guarded(path: str, given: dict[str, str], guarded: bool) -> None:
    """Only faces with streams are guarded, and only if the setting has a threshold that can trigger."""
    call = Call(tflow.tflow(), 0, [], "", path)
    plan = make_plan(call, settings(**given))
    assert (plan is not None) is guarded
    if plan is not None:
        assert plan.make_guard is not None
        first, second = plan.make_guard(), plan.make_guard()
        assert first is not second
        assert (plan.coerce, plan.hide_usage) == (False, False)


def test_guard_has_the_settings() -> None:
    """The guard's detectors get the threshold and the minimum length from the settings."""
    plan = make_plan(Call(tflow.tflow(), 0, [], "", "/chat/completions"), settings(repeat_min_length="5000", **GUARD))
    assert plan is not None
    assert plan.make_guard is not None
    guard = plan.make_guard()
    loop = {"choices": [{"delta": {"content": "the same again. " * 100}}]}
    assert [guard.feed(loop) is not None for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize("ended", [False, True])
def test_upstream_is_closed_after_an_early_end(monkeypatch: pytest.MonkeyPatch, ended: bool) -> None:
    """After the early end of a looping answer, its upstream is closed; that of any other answer stays open."""
    closed: list[HTTPFlow] = []
    monkeypatch.setattr(flow_control, "close_upstream", closed.append)
    rig = Rig(**GUARD)
    if ended:
        rig.flow.metadata[flow_control.ENDED_EARLY] = True
    rig.addon.response(rig.flow)
    assert closed == ([rig.flow] if ended else [])


# ---- heartbeats ---------------------------------------------------------------------------------------------------


def beat(rig: Rig, until: Callable[[], bool]) -> None:
    """Run the addon on a loop until the condition holds, within 5 s."""

    async def run() -> None:
        rig.addon.running()
        async with asyncio.timeout(5):
            while not until():  # noqa: ASYNC110 - what is waited for is a state, not an event
                await asyncio.sleep(0)
        await rig.addon.done()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def adapter_in(call: Call) -> Adapter:
    """Return the adapter of a call's stream."""
    adapter = adapter_of(call)
    assert adapter is not None
    return adapter


def waiting(rig: Rig, *, coerce: bool = True) -> Call:
    """Add a call whose client has waited for a long time."""
    flow = tflow.tflow(resp=True)
    call = Call(flow, 0, [], "", "/v1/chat/completions")
    call.add(StreamEdit(coerce))
    rig.calls.begin(call)
    flow.response = tutils.tresp(headers=Headers([(b"Content-Type", b"text/event-stream")]), content=None)
    rig.addon.responseheaders(flow)
    adapter_in(call).sent_at = time.monotonic() - 60
    return call


def test_only_clients_that_wait_get_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forced stream gets a heartbeat whenever it is due; guarded, ended and other streams never do."""
    given: list[HTTPFlow] = []
    monkeypatch.setattr(flow_control, "inject_heartbeat", given.append)
    rig = Rig(force_stream="true", heartbeat="0.01", **GUARD)
    waits, ended = waiting(rig), waiting(rig)
    waiting(rig, coerce=False)
    list(adapter_in(ended)(STREAM))
    list(adapter_in(ended)(b""))
    beat(rig, lambda: len(given) >= 3)
    assert set(map(id, given)) == {id(waits.flow)}


def test_only_an_answer_that_is_all_there_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forced stream that upstream leaves open after [DONE] is ended once; one that may continue is not."""
    over: list[HTTPFlow] = []
    beats: list[HTTPFlow] = []
    monkeypatch.setattr(flow_control, "end_response", over.append)
    monkeypatch.setattr(flow_control, "inject_heartbeat", beats.append)
    monkeypatch.setattr(flow_control, "can_finish", lambda flow: flow is not sealed.flow)
    rig = Rig(force_stream="true", heartbeat="0.01", **GUARD)
    sealed: Call = waiting(rig)
    list(adapter_in(sealed)(STREAM))
    sealed.touched = time.monotonic_ns() - 60_000_000_000
    lingers, goes_on, came, streams = waiting(rig), waiting(rig), waiting(rig), waiting(rig, coerce=False)
    for call, data in ((lingers, STREAM), (goes_on, STREAM[:80]), (came, STREAM), (streams, STREAM)):
        list(adapter_in(call)(data))
        call.touched = time.monotonic_ns() + (60_000_000_000 if call is came else -60_000_000_000)
    beat(rig, lambda: len(beats) >= 4)
    assert over == [lingers.flow]
    assert lingers.warnings == [LINGERED]
    assert set(map(id, beats)) == {id(goes_on.flow), id(came.flow), id(sealed.flow)}
    assert b"".join(adapter_in(lingers)(b"")).startswith(b'{"object":"chat.completion"')


def test_fault_with_one_call_leaves_the_others_their_heartbeats(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception at one client's heartbeat is logged, and the others still get theirs."""
    given: list[HTTPFlow] = []
    rig = Rig(force_stream="true", heartbeat="0.01")
    faulty, waits = waiting(rig), waiting(rig)

    def inject(flow: HTTPFlow) -> None:
        if flow is faulty.flow:
            raise ValueError
        given.append(flow)

    monkeypatch.setattr(flow_control, "inject_heartbeat", inject)
    beat(rig, lambda: len(given) >= 2)
    assert given[0] is waits.flow
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_without_forced_streams_nothing_beats() -> None:
    """If no stream is forced, or the settings are invalid, no task is started."""

    async def run() -> None:
        for configuration in (Configuration(), Configuration(settings())):
            addon = EditStream(configuration, Calls())
            addon.running()
            assert len(asyncio.all_tasks()) == 1
            await addon.done()

    asyncio.run(run())
