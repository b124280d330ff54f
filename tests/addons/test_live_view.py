"""Rows, streams and limits of mitmproxy's view."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest
from mitmproxy.addons.eventstore import EventStore
from mitmproxy.addons.view import View
from mitmproxy.connection import Server
from mitmproxy.flow import Error, Flow
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import taddons, tflow

from moonpalace_addons import live_view
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.tap import Tap
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.live import kept
from moonpalace_addons.live_view import REPLAY_OF_CUT, LiveView
from moonpalace_addons.mitm import flow_view, web_page
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.writer_process.messages import RowLine

ROW = RowLine("", 527, "#527 kimi-k3 stop", "good", False, "¥0.02", ("odd",))


class Rig:
    """The addon with a view, as in mitmweb."""

    def __init__(self, limit: int = 1000) -> None:
        settings = resolve({"live-limit": str(limit)}, {"MOONPALACE_HOME": "/nowhere"})
        self.calls = Calls()
        self.live = LiveView(Configuration(settings), self.calls)
        self.view = View()

    def begin(self, *, taps: bool = False) -> HTTPFlow:
        """Begin a call with a streamed answer, optionally stored; its flow is in the view."""
        flow = tflow.tflow(resp=True)
        assert flow.response is not None
        flow.live = True
        flow.response.data.content = flow.response.timestamp_end = None
        call = Call(flow, 0, [], "", "/v1/chat/completions")
        self.calls.begin(call)
        self.view.requestheaders(flow)
        self.live.requestheaders(flow)
        flow.response.stream = Tap(call) if taps else lambda data: data
        self.live.responseheaders(flow)
        return flow

    def end(self, flow: HTTPFlow, content: bytes | None = None) -> None:
        """End a call; mitmproxy puts the whole stream into its flow."""
        assert flow.response is not None
        flow.response.timestamp_end = 200.0
        flow.response.data.content = content or flow.response.data.content
        self.calls.end(flow)
        self.live.response(flow)
        flow.live = False

    def tell(self, flow: HTTPFlow, row: RowLine) -> None:
        """Report the row of a call, as the writer's process does."""
        self.live.put_row(replace(row, uuid=flow.metadata[kept.UUID]))
        self.live._take_rows()

    def tick(self) -> None:
        """Let one second pass."""
        self.live._show_streams()
        self.live._keep_limits()


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Give the addon with its defaults."""
    rig = Rig()
    with taddons.context(rig.view):
        yield rig


def test_a_dropped_flow_dies() -> None:
    """Nothing references a flow that has left the view, not even until a garbage collection: memory stays constant."""
    rig = Rig(limit=1)
    try:
        with taddons.context(rig.view):
            dropped = [weakref.ref(flow) for flow in played(rig, 3)]
            assert [ref() is None for ref in dropped] == [True, True, False]
    finally:
        gc.enable()


def played(rig: Rig, count: int) -> Iterator[HTTPFlow]:
    """Yield the flows of streams from their beginning until their rows are reported and the view is cut."""
    for _ in range(count):
        flow = rig.begin(taps=True)
        gc.collect()  # mitmproxy's makers of flows leave cycles
        gc.disable()
        pass_through(flow, b"Once")
        rig.tick()
        call = rig.calls.get(flow)
        rig.end(flow, b"Once")
        assert call
        call.drop_states()
        del call
        rig.tell(flow, ROW)
        rig.tick()
        yield flow


def pass_through(flow: HTTPFlow, data: bytes) -> object:
    """Pass a piece of an answer through its stream."""
    assert flow.response is not None
    assert callable(flow.response.stream)
    return flow.response.stream(data)


def content_of(flow: HTTPFlow) -> bytes | None:
    """Return the answer that the view shows."""
    assert flow.response is not None
    return flow.response.raw_content


def test_a_stream_is_shown_while_it_runs(rig: Rig) -> None:
    """The received part is in the flow within a second, with its times, and again when it has grown."""
    flow = rig.begin()
    assert pass_through(flow, b"Once") == b"Once"
    assert content_of(flow) is None
    rig.tick()
    assert content_of(flow) == b"Once"
    pass_through(flow, b" upon")
    rig.tick()
    assert content_of(flow) == b"Once upon"
    assert [offset for offset, _ in kept.times_of(flow)] == [4, 9]


def test_an_interrupted_stream_stays(rig: Rig) -> None:
    """The received part of a failed answer is shown, and the flow is marked; a user's mark is kept."""
    for marked, expected in (("", ":red_circle:"), (":star:", ":star:")):
        flow = rig.begin()
        flow.marked = marked
        pass_through(flow, b"Once")
        flow.error = Error("the API broke off")
        rig.live.error(flow)
        assert (content_of(flow), flow.marked) == (b"Once", expected)


@pytest.mark.parametrize(
    ("style", "mark"), [("good", ""), ("bad", ":red_circle:"), ("warning", ":orange_circle:"), ("quiet", "")]
)
def test_rows_say_what_they_are(rig: Rig, style: str, mark: str) -> None:
    """The comment is the line of the stored row; failures and truncated answers are marked."""
    flow = rig.begin()
    rig.tell(flow, replace(ROW, text="#527 kimi-k3 running", is_running=True))
    assert (flow.comment, flow.metadata[kept.ROW]) == ("#527 kimi-k3 running", 527)
    rig.end(flow, b"Once")
    rig.tell(flow, replace(ROW, style=style))
    assert (flow.comment, flow.marked) == ("#527 kimi-k3 stop", mark)
    assert (flow.metadata[kept.PRICE], flow.metadata[kept.WARNINGS]) == ("¥0.02", ["odd"])


def test_a_row_that_cannot_be_shown(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a row for which the view fails, later rows are still shown, and none waits forever."""
    flows = [rig.begin(), rig.begin()]
    for flow in flows:
        rig.live.put_row(replace(ROW, uuid=flow.metadata[kept.UUID]))
    update, failing = flow_view.update, flows[0]

    def fail_once(flow: Flow) -> None:
        if flow is failing:
            raise ValueError
        update(flow)

    monkeypatch.setattr(flow_view, "update", fail_once)
    rig.live._take_rows()
    assert flows[1].comment == ROW.text
    assert not rig.live._rows


def test_a_comment_of_the_user_stays(rig: Rig) -> None:
    """A user's comment is not replaced; a row of a removed flow changes nothing."""
    flow = rig.begin()
    flow.comment = "look here"
    rig.tell(flow, ROW)
    assert flow.comment == "look here"
    rig.live.put_row(replace(ROW, uuid="gone"))
    rig.live._take_rows()


def test_rows_come_from_another_thread(rig: Rig) -> None:
    """Rows reported before and during the loop are processed on it."""

    async def told() -> list[str]:
        flows = [rig.begin(), rig.begin()]
        rows = [replace(ROW, uuid=flow.metadata[kept.UUID]) for flow in flows]
        rig.live.put_row(rows[0])
        rig.live.running()
        await asyncio.to_thread(rig.live.put_row, rows[1])
        await asyncio.sleep(0)
        await rig.live.done()
        return [flow.comment for flow in flows]

    assert asyncio.run(told()) == [ROW.text, ROW.text]


def test_the_oldest_finished_flows_leave() -> None:
    """Beyond the limit the oldest flows are removed, except those running, intercepted, or still being sent."""
    rig = Rig(limit=2)
    with taddons.context(rig.view):
        flows = [rig.begin() for _ in range(5)]
        for flow in flows[1:]:
            rig.end(flow)
        flows[1].intercepted = True
        rig.tick()
        assert [flow.id for flow in rig.view] == [flows[0].id, flows[1].id]
        flows[1].intercepted = False
        rig.end(flows[0])
        late = rig.begin()
        rig.tick()
        assert [flow.id for flow in rig.view] == [flows[1].id, late.id]
        rig.view.clear()
        for _ in range(3):
            rig.begin()
        rig.tick()
        assert len(rig.view) == 3
        assert len(rig.live._order) == 3


def test_large_bodies_are_cut_once_they_were_sent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body is cut to its beginning after the call; until then mitmproxy has to send it."""
    monkeypatch.setattr(live_view, "MAX_SIZE", 4)
    flow = rig.begin()
    flow.request.data.content = b"question"
    rig.end(flow, b"answer")
    flow.live = True
    rig.tick()
    assert (flow.request.raw_content, content_of(flow)) == (b"question", b"answer")
    flow.live = False
    rig.tick()
    assert (flow.request.raw_content, content_of(flow)) == (b"ques", b"answ")
    assert flow.response is not None
    assert (kept.cut_of(flow, flow.request), kept.cut_of(flow, flow.response)) == (4, 2)


def test_a_replayed_flow_of_a_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its metadata, its bodies are cut, and it leaves the view in turn."""
    monkeypatch.setattr(live_view, "MAX_SIZE", 4)
    flow = rig.begin()
    flow.metadata |= {kept.CUT: "x", kept.UUID: []}
    rig.end(flow, b"answer")
    rig.tick()
    assert content_of(flow) == b"answ"
    rig.live._drop(flow.id, flow)
    assert flow_view.shown(flow.id) is None


def test_a_cut_request_is_not_replayed(rig: Rig) -> None:
    """A replay would send half a request: the answer says what to do instead."""
    flow = rig.begin()
    flow.metadata[kept.CUT] = [4, 0]
    flow.response, flow.is_replay = None, "request"
    rig.live.requestheaders(flow)
    answered = flow.response
    assert answered is not None
    assert answered.status_code == 400
    assert REPLAY_OF_CUT.encode() in (answered.content or b"")


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        (("127.0.0.1", 8081), True),
        (("localhost", 8081), True),
        (("127.1", 8081), True),
        (("0.0.0.0", 8081), True),
        (("::1", 8081), True),
        (("127.0.0.1", 8082), False),
        (("api.moonshot.cn", 8081), False),
    ],
)
def test_mitmweb_is_no_endpoint(
    rig: Rig, address: tuple[str, int], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy does not connect to mitmweb's page, under any name of this machine."""
    monkeypatch.setattr(web_page, "address", lambda: ("127.0.0.1", 8081))
    data = ServerConnectionHookData(Server(address=address), tflow.tclient_conn())
    rig.live.server_connect(data)
    assert (data.server.error is not None) is refused


@pytest.mark.parametrize(("entries", "expected"), [(2000, 2000), (50_000, 10_000)])
def test_the_event_log_is_limited(entries: int, expected: int) -> None:
    """It keeps the configured number of entries, but at most as many as mitmproxy."""

    async def run() -> int | None:
        events = EventStore()
        with taddons.context(events):
            flow_view.limit_log(entries)
        events.done()
        return events.size

    assert asyncio.run(run()) == expected
