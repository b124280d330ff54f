"""Tests of reading whole calls."""

import pytest

from moonpalace_addons.store.records import labels
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_cli.calls.reading import event_times, read_calls
from tests.cli.conftest import Store

EVENTS = b"data: 1\n\ndata: 2\n\ndata: 3"


def test_calls_come_in_the_order_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call has its bodies and sorted tags; a deleted one is left out."""
    monkeypatch.setattr("moonpalace_cli.calls.reading.BATCH_SIZE", 2)
    ids = [store.add(request=f"{number}".encode(), response=b"r") for number in range(5)]
    labels.change(store.engine, [ids[4]], labels.Change(tag=("b", "a")))
    calls = list(read_calls(store.engine, [ids[4], 99, ids[0], ids[2]]))
    assert [call.exchange.id for call in calls] == [ids[4], ids[0], ids[2]]
    assert [call.bodies.request for call in calls] == [b"4", b"0", b"2"]
    assert [call.tags for call in calls] == [("a", "b"), (), ()]


@pytest.mark.parametrize(
    ("chunks", "times"),
    [
        ([(9, 10), (18, 20), (25, 30)], (10, 20, 30)),
        ([(25, 7)], (7, 7, 7)),
        ([(4, 1), (12, 2), (20, 3), (25, 4)], (2, 3, 4)),
        ([(9, 10)], (10, 10, 10)),
        ([], ()),
    ],
)
def test_event_times(chunks: list[tuple[int, int]], times: tuple[int, ...]) -> None:
    """An event arrived with the chunk that has its last byte; without such a chunk, with the last one."""
    assert event_times(Bodies(b"", b"", EVENTS), chunks) == times


def test_no_stream_no_times() -> None:
    """A call without a stream has no events."""
    assert event_times(Bodies(b"", b"", None), [(1, 1)]) == ()
