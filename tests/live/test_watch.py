"""Tests of watching a stream."""

from collections.abc import Sequence

import pytest

from moonpalace_addons.live import watch as watch_module
from moonpalace_addons.live.watch import Watch


class Upper:
    """A stream callable that changes the data."""

    def __call__(self, data: bytes) -> bytes | list[bytes]:
        """Change data; drop a dot."""
        return [] if data == b"." else data.upper()

    def together(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Change pieces."""
        return [piece.upper() for piece in pieces]


def test_what_the_client_gets_is_kept() -> None:
    """A watched stream returns the same as the original, and records it with the times of its pieces."""
    watch = Watch(Upper(), 0)
    assert [watch(b"a"), watch(b"."), watch(b"")] == [b"A", [], b""]
    assert watch.together is not None
    assert watch.together([b"bc", b"d"]) == [b"BC", b"D"]
    assert (watch.content, watch.content, watch.size, watch.passed) == (b"ABCD", b"ABCD", 4, 4)
    assert [offset for offset, _ in watch.times] == [1, 3, 4]
    assert all(at > 0 for _, at in watch.times)


def test_a_stream_without_together() -> None:
    """Not every stream has `together`; results that can be iterated only once still reach the client."""
    watch = Watch(lambda data: (piece for piece in (data, data)), 0)
    assert watch.together is None
    assert watch(b"a") == [b"a", b"a"]
    assert watch.content == b"aa"


def test_only_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit everything passes, and is only counted."""
    monkeypatch.setattr(watch_module, "MAX_SIZE", 3)
    watch = Watch(Upper(), 0)
    assert [watch(b"ab"), watch(b"cd"), watch(b"ef")] == [b"AB", b"CD", b"EF"]
    assert (watch.content, watch.size, watch.passed) == (b"ABC", 3, 6)
