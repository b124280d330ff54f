"""A plain request, and an addon that notes how calls end."""

from mitmproxy.http import HTTPFlow

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def get(path: str) -> bytes:
    """Return a request for a path."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def text_answer(text: str) -> bytes:
    """Return an answer of some text."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


class Noting:
    """Record the hooks in order, with the state of the flow at each."""

    def __init__(self) -> None:
        self.hooks: list[str] = []
        self.flows: list[HTTPFlow] = []

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Record it."""
        self.hooks.append("requestheaders")
        self.flows.append(flow)

    def request(self, flow: HTTPFlow) -> None:
        """Record it."""
        self.hooks.append("request")

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Record it."""
        self.hooks.append("responseheaders")

    def response(self, flow: HTTPFlow) -> None:
        """Record it."""
        self.hooks.append("response")

    def error(self, flow: HTTPFlow) -> None:
        """Note it with the error."""
        self.hooks.append(f"error: {flow.error}")


ALL = ["requestheaders", "request", "responseheaders", "response"]
