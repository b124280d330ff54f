"""Answers for tests of the columns derived from them."""

from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.store.write.answers import Received

DELTA = '{"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "%s"}, "finish_reason": %s}]}'
END = ExchangeEnded(uuid="u", at=9_000_000, state=State.COMPLETED, overhead=7)


def received(body: bytes, content_type: str = "application/json", **changes: object) -> Received:
    """Return an answer."""
    values: dict[str, object] = {
        "at": 1_000_000,
        "status_code": 200,
        "headers": "",
        "content_type": content_type,
        "body": body,
        "chunks": [(len(body), 2_000_000)],
    }
    return Received(**(values | changes))  # type: ignore[arg-type]


def stream(*data: str) -> Received:
    """Return an answer with these events."""
    return received("".join(f"data: {text}\n\n" for text in data).encode(), "text/event-stream")
