"""Show calls in mitmweb and in mitmproxy's console: a description in each row, and running streams, within a limit."""

import asyncio
import contextlib
import logging
from collections import deque

from mitmproxy import contentviews, ctx
from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.engine.own_addresses import is_loopback_name
from moonpalace_addons.live import kept
from moonpalace_addons.live.call_text import MAX_SIZE
from moonpalace_addons.live.content_view import CallView
from moonpalace_addons.live.watch import Watch
from moonpalace_addons.mitm import flow_view, web_page
from moonpalace_addons.mitm.own_requests import is_own
from moonpalace_addons.mitm.proxy_server import was_set
from moonpalace_addons.wire.faces.table import error_body
from moonpalace_addons.writer_process.messages import RowLine

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between updates of running streams, and between checks of the limits."""
GROWTH = 1.05
"""Growth after which a stream is shown again, as a factor, because it is then parsed from its beginning."""
MIN_LOG = 1000
"""Minimum size of the event log, to which each call adds an entry; mitmproxy's own is 10,000."""
MARKS = {"bad": ":red_circle:", "warning": ":orange_circle:"}
"""The marks of calls that failed and of answers that were cut off, by the style of their outcome."""
REPLAY_OF_CUT = "only the beginning of this request is kept in the view: mpal export --curl has all of it"


class LiveView:
    """Describe each call in its row of the view, and keep the view small. mitmdump has no view and not this addon.

    The writer's process reports the rows of the store, on another thread.
    """

    name = "moonpalace-live-view"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._has_options = False
        self._rows: deque[RowLine] = deque()
        self._flows: dict[str, HTTPFlow] = {}
        """Flows by the uuid of their call, until the final row of the call has been reported."""
        self._watched: dict[str, tuple[HTTPFlow, Watch, int]] = {}
        """Running streams by the ID of their flow, with the size that was last shown."""
        self._order: dict[str, None] = {}
        """The IDs of all flows that may be in the view, oldest first."""
        self._over: list[HTTPFlow] = []

    def configure(self, _: object) -> None:
        """Show the column of comments, and set the page's password before the page opens."""
        if self._has_options or not (self.configuration.ready and web_page.is_mitmweb()):
            return
        self._has_options = True
        web_page.mask_keys()
        web_page.widen_comments()
        if not was_set("web_columns"):
            columns = ctx.options.web_columns
            ctx.options.update(web_columns=[*columns, *({"comment"} - set(columns))])
        password = self.configuration.settings.web_password
        if password is not None and not was_set("web_password"):
            web_page.set_password(password)

    def running(self) -> None:
        """Add the content view, and start checking streams and limits."""
        self._loop = asyncio.get_running_loop()
        contentviews.add(CallView(flow_view.focus_on if web_page.is_mitmweb() else lambda _: None))
        self._take_rows()
        if self.configuration.ready:
            flow_view.limit_log(max(MIN_LOG, self.configuration.settings.live_limit))
            self._ticker = asyncio.create_task(self._tick())

    async def done(self) -> None:
        """Stop the checks."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Refuse to connect to mitmweb's page: not everybody who may use the proxy may see all calls."""
        page, target = web_page.address(), data.server.address
        if page is None or target is None or data.server.via is not None:
            return
        host, port = target[:2]
        if port == page[1] and (host == page[0] or is_loopback_name(host)):
            data.server.error = "mitmweb's page is not an endpoint: set --endpoint to the API"

    # ---- calls ----------------------------------------------------------------------------------------------------

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Note a flow."""
        self._order[flow.id] = None
        if (call := self.calls.get(flow)) is not None:
            self._flows[call.uuid] = flow
            flow.metadata[kept.UUID] = call.uuid
        if flow.is_replay == "request" and kept.cut_of(flow, flow.request) and flow.response is None:
            body = error_body(REPLAY_OF_CUT, "invalid_request_error", flow.request.path)
            flow.response = Response.make(400, body, {"Content-Type": "application/json"})

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Watch a stream."""
        call = self.calls.get(flow)
        if call is not None and flow.response is not None and callable(flow.response.stream):
            watch = Watch(flow.response.stream, call.started)
            flow.response.stream = watch
            self._watched[flow.id] = flow, watch, 0

    def response(self, flow: HTTPFlow) -> None:
        """Show the whole answer."""
        self._finish(flow)

    def error(self, flow: HTTPFlow) -> None:
        """Show the received part of an answer."""
        self._finish(flow)
        if not is_own(flow):
            set_mark(flow, "bad")

    def _finish(self, flow: HTTPFlow) -> None:
        self._over.append(flow)
        _, watch, _ = self._watched.pop(flow.id, (None, None, 0))
        if watch is not None:
            show(flow, watch)

    # ---- rows -----------------------------------------------------------------------------------------------------

    def put_row(self, row: RowLine) -> None:
        """Queue the report of a row; thread-safe."""
        self._rows.append(row)
        if self._loop is not None and len(self._rows) == 1:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._take_rows)

    def _take_rows(self) -> None:
        while self._rows:
            try:
                self._take(self._rows.popleft())
            except Exception:
                logger.exception("a row is not shown in the live view because of a fault in MoonPalace")

    def _take(self, row: RowLine) -> None:
        flow = self._flows.get(row.uuid) if row.is_running else self._flows.pop(row.uuid, None)
        if flow is not None:
            describe(flow, row)
            flow_view.update(flow)

    # ---- limits ---------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                self._show_streams()
                self._keep_limits()
            except Exception:
                logger.exception("the live view is not kept up to date because of a fault in MoonPalace")

    def _show_streams(self) -> None:
        for flow_id, (flow, watch, size) in list(self._watched.items()):
            if watch.size > size * GROWTH:
                self._watched[flow_id] = flow, watch, watch.size
                show(flow, watch)
                flow_view.update(flow)

    def _keep_limits(self) -> None:
        over, self._over = self._over, []
        for flow in over:
            if flow.live or flow.intercepted:
                self._over.append(flow)
                continue
            kept.cut_bodies(flow, MAX_SIZE)
            if flow.response is not None and callable(flow.response.stream):
                flow.response.stream = True  # it knows the flow and keeps all that has passed
        excess = len(self._order) - self.configuration.settings.live_limit
        for flow_id in list(self._order) if excess > 0 else ():
            oldest = flow_view.shown(flow_id)
            if excess > 0 and (oldest is None or is_finished(oldest)):
                excess -= 1
                self._drop(flow_id, oldest)

    def _drop(self, flow_id: str, flow: Flow | None) -> None:
        del self._order[flow_id]
        if flow is not None:
            self._flows.pop(kept.uuid_of(flow), None)
            flow_view.remove(flow)


def is_finished(flow: Flow) -> bool:
    """Return whether a flow may be removed from the view."""
    response = flow.response if isinstance(flow, HTTPFlow) else None
    has_ended = flow.error is not None or (response is not None and response.timestamp_end is not None)
    return has_ended and not (flow.live or flow.intercepted)


def show(flow: HTTPFlow, watch: Watch) -> None:
    """Put the received part of its stream into a flow, which mitmproxy itself only does at the end."""
    if flow.response is None:
        return
    kept.set_times(flow, watch.times)
    if flow.response.raw_content is None or len(flow.response.raw_content) < watch.size:
        flow.response.data.content = watch.content
        if watch.passed > watch.size:
            flow.metadata[kept.CUT] = [0, watch.passed - watch.size]


def describe(flow: HTTPFlow, row: RowLine) -> None:
    """Set the comment and the other data of a flow from its row."""
    flow.metadata[kept.ROW] = row.row_id
    flow.metadata[kept.PRICE] = row.price
    flow.metadata[kept.WARNINGS] = list(row.warnings)
    if flow.comment in ("", flow.metadata.get(kept.COMMENT)):
        flow.comment = flow.metadata[kept.COMMENT] = row.text
    set_mark(flow, row.style)


def set_mark(flow: HTTPFlow, style: str) -> None:
    """Mark a call that failed or was cut off, unless the user has marked it."""
    if not flow.marked and style in MARKS:
        flow.marked = MARKS[style]
