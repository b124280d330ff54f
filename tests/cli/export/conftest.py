"""Calls to be exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from moonpalace_addons.store.records.contents import Bodies
from moonpalace_cli.calls.reading import Call

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange


@pytest.fixture
def call(exchange: Callable[..., Exchange]) -> Callable[..., Call]:
    """Give a function that returns a plain completed call with these bodies and tags, and some fields changed."""

    def make(
        request: bytes | None = b"{}",
        response: bytes | None = b"{}",
        events: bytes | None = None,
        tags: tuple[str, ...] = (),
        event_times: tuple[int, ...] = (),
        **changes: object,
    ) -> Call:
        stream: dict[str, object] = {"is_stream": True, "response_content_type": "text/event-stream"}
        row = exchange(**({} if events is None else stream) | changes)
        return Call(row, Bodies(request, response, events), tags, event_times)

    return make
