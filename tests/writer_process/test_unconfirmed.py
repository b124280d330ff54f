"""Messages that are kept to be sent again."""

from moonpalace_addons.store.tasks import Chunks
from moonpalace_addons.writer_process.unconfirmed import Unconfirmed
from tests.writer_process.calls import EVENTS, Call


def test_all_of_a_call_is_replayed() -> None:
    """The messages of a call are sent again in order; its chunks are combined."""
    first, second = Call(), Call()
    kept = Unconfirmed()
    kept.note([first.request, first.response, second.request, first.packed(0, 1)])
    kept.note([first.packed(2)])
    kept.note([second.response, second.packed(3), second.ended])
    (request, response, chunks), others = kept.replayed()
    assert (request, response) == (first.request, first.response)
    assert isinstance(chunks, Chunks)
    ((uuid, times, lengths, data),) = chunks.by_call()
    assert (uuid, list(times), list(lengths)) == (first.uuid, [2000, 2001, 2002], [len(event) for event in EVENTS[:3]])
    assert data == b"".join(EVENTS[:3])
    assert [type(other).__name__ for other in others] == ["RequestRead", "ResponseStarted", "Chunks", "ExchangeEnded"]
    assert others[-1] == second.ended


def test_what_is_settled_is_forgotten() -> None:
    """Later messages about confirmed or unknown calls are ignored too."""
    call, unknown = Call(), Call()
    kept = Unconfirmed()
    kept.note([call.request, call.ended])
    kept.confirm([call.uuid, unknown.uuid])
    kept.note([call.response, call.packed(0), unknown.packed(1), unknown.ended])
    assert list(kept.replayed()) == []
