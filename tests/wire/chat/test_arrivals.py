"""Tests of the arrival times of chunks."""

import tracemalloc

from moonpalace_addons.wire.chat.arrivals import Arrivals


def test_a_sequence_of_offsets_and_times() -> None:
    """Arrivals are read like a list of pairs."""
    arrivals = Arrivals([3], [100])
    arrivals.append(5, 200)
    arrivals.extend([9, 12], [300, 400])
    assert arrivals == [(3, 100), (5, 200), (9, 300), (12, 400)]
    assert arrivals[-1] == (12, 400)
    assert arrivals[1:3] == [(5, 200), (9, 300)]
    assert arrivals != [(3, 100)]
    assert not Arrivals()


def test_little_memory() -> None:
    """Each chunk takes 16 bytes, plus the spare capacity."""
    tracemalloc.start()
    try:
        arrivals = Arrivals()
        for number in range(10_000):
            arrivals.append(number, number * 1_000_000)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 20 * len(arrivals)
