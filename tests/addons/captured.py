"""A capture on its own, and the tasks that it gives the recorder."""

import time
from collections.abc import Callable

from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow, tutils

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.calls.failures import (
    CLIENT_LEFT,
    Failure,
)
from moonpalace_addons.capture import Capture
from moonpalace_addons.causes import Causes
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, Task

KEY = "sk-clients-own-0123456789"
REVERSE = "reverse:https://api.moonshot.cn"
BODY = b'{"model": "kimi-k3",  "messages": []}'


class Kept(Recorder):
    """A recorder that keeps the tasks."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self.tasks: list[Task] = []

    def put(self, task: Task) -> None:
        """Keep a task."""
        self.tasks.append(task)


class Known(Causes):
    """The cause of all failures."""

    failure = CLIENT_LEFT

    def of(self, _: HTTPFlow) -> Failure:
        """Return it."""
        return self.failure


class Rig:
    """A capture with what it needs."""

    def __init__(self, **given: str) -> None:
        values: dict[str, object | None] = {name.replace("_", "-"): value for name, value in given.items()}
        configuration = Configuration(resolve(values, {"MOONPALACE_HOME": "/nowhere"}))
        self.kept = Kept(configuration)
        self.causes = Known()
        self.capture = Capture(configuration, self.kept, Calls(), self.causes.of)

    def ask(self, flow: HTTPFlow) -> None:
        """Send the request of a flow past the capture."""
        self.capture.requestheaders(flow)
        self.capture.request(flow)

    def begin_answer(
        self, flow: HTTPFlow, content_type: str | None, body: bytes | None = None, *, more: dict[str, str] | None = None
    ) -> None:
        """Send the head of an answer past the capture."""
        headers = ({} if content_type is None else {"Content-Type": content_type}) | (more or {})
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        flow.response = tutils.tresp(headers=Headers(fields), content=body)
        self.capture.responseheaders(flow)

    def requests(self) -> list[RequestRead]:
        """Return the requests that were noted."""
        return [task for task in self.kept.tasks if isinstance(task, RequestRead)]

    def end(self) -> ExchangeEnded:
        """Return the end that was noted; it must be the last task and the only end."""
        ends = [task for task in self.kept.tasks if isinstance(task, ExchangeEnded)]
        assert len(ends) == 1
        assert self.kept.tasks[-1] is ends[0]
        return ends[0]

    def kinds(self) -> list[type[Task]]:
        """Return the types of the tasks in their order."""
        return [type(task) for task in self.kept.tasks]


def a_flow(
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
    body: bytes = BODY,
    mode: str = REVERSE,
) -> HTTPFlow:
    """Return a call that a client makes."""
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"} if headers is None else headers
    fields = Headers([(name.encode(), value.encode()) for name, value in given.items()])
    request = tutils.treq(method=b"POST", host="api.moonshot.cn", port=443, headers=fields, content=body)
    request.path = path
    request.timestamp_start = time.time()
    flow = tflow.tflow(req=request)
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    return flow


def tap_of(flow: HTTPFlow) -> Callable[[bytes], object]:
    """Return the callable that mitmproxy calls with each chunk of a flow's answer."""
    assert flow.response is not None
    stream = flow.response.stream
    assert callable(stream)
    return stream
