"""The lines about rows that the writer sends to the proxy."""

from dataclasses import replace

import pytest

from moonpalace_addons.store.tasks import State
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening, RowLine
from moonpalace_addons.writer_process.server import line_of
from tests.exchanges import an_exchange
from tests.waiting import until
from tests.writer_process.calls import Call
from tests.writer_process.stored import begin


def test_what_a_line_says() -> None:
    """The line has no time, as a view has a column for it; the cost is in it and also separate."""
    row = line_of(an_exchange(cost=0.0213, cost_currency="CNY", warnings=("odd",)))
    assert row == RowLine(
        "00000000-0000-0000-0000-000000000001",
        1,
        "#1 kimi-k3 stop 11→7 1ms · ¥0.0213",
        "good",
        False,
        "¥0.0213",
        ("odd",),
    )


@pytest.mark.parametrize(
    ("state", "style", "text"),
    [(State.IN_FLIGHT, "quiet", "running"), (State.CLIENT_DISCONNECTED, "bad", "your program hung up")],
)
def test_how_it_stands(state: State, style: str, text: str) -> None:
    """A call in flight is marked, a failed one has its reason."""
    row = line_of(an_exchange(state=state, error_kind="client_disconnected"))
    assert (row.style, row.is_running) == (style, state is State.IN_FLIGHT)
    assert text in row.text


@pytest.mark.parametrize("rows", [True, False])
def test_a_proxy_gets_lines(opening: Opening, rows: bool) -> None:
    """On request a proxy gets the line of a row once while the call runs, and once after its end."""
    received: list[RowLine] = []
    client = WriterClient(replace(opening, rows=rows), received.append)
    call = Call()
    begin(client, call)
    until(lambda: received or not rows)
    call.come(1, 2)
    client.put(call.ended)
    assert client.stop()
    assert [(row.uuid, row.row_id, row.is_running) for row in received] == (
        [(call.uuid, 1, True), (call.uuid, 1, False)] if rows else []
    )
