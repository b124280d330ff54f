"""Streamed calls, reported step by step as the hooks do."""

from collections import deque
from uuid import uuid4

from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, ResponseStarted, State
from moonpalace_addons.writer_process.messages import packed

STARTED_AT = 1_795_368_422_123_456
EVENTS = [b'data: {"choices": [{"delta": {"content": "%d"}, "index": 0}]}\n\n' % number for number in range(20)]


class Call:
    """A streamed call, reported step by step."""

    def __init__(self, path: str = "/v1/chat/completions") -> None:
        uuid = str(uuid4())
        body = b'{"model": "kimi-k3", "stream": true, "messages": []}'
        self.request = RequestRead(
            uuid, STARTED_AT, "POST", "https://api.moonshot.cn", path, "", "", "application/json", None, None, body
        )
        self.response = ResponseStarted(uuid, 1_000, 200, "", "text/event-stream", None, deque())
        self.ended = ExchangeEnded(uuid, 1_000_000, State.COMPLETED)

    @property
    def uuid(self) -> str:
        """Return its unique id."""
        return self.request.uuid

    def come(self, *numbers: int) -> None:
        """Add chunks."""
        self.response.chunks.extend((2_000 + number, EVENTS[number]) for number in numbers)

    def packed(self, *numbers: int) -> Chunks:
        """Return chunks in the format in which they are sent."""
        self.come(*numbers)
        found = packed([(self.uuid, self.response.chunks)], 1_000_000)
        assert found is not None
        return found
