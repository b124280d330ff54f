"""Bodies arrive as they were sent, also if only their end is sent."""

import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, State, Task
from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import MAX_COPIED_SIZE
from moonpalace_addons.writer_process.shared_bodies import (
    BLOCK_SIZE,
    MAX_BODIES,
    MAX_SIZE,
    MIN_SIZE,
    SharedBodies,
)

HISTORY = b"".join(b'{"role":"user","content":"%d"},' % number for number in range(4_000))
"""More than 100 KB, without two equal blocks."""


def request(body: bytes) -> RequestRead:
    """Return a request with a body."""
    return RequestRead("u", 1, "POST", "https://api.moonshot.cn", "/", "", "", "application/json", None, None, body)


def sent(sender: SharedBodies, batch: list[Task]) -> tuple[object, int]:
    """Return the message for some tasks as it arrives, and its size in bytes."""
    stream = io.BytesIO()
    messages.write(stream, sender.pack(batch))
    size = stream.tell()
    stream.seek(0)
    (message,) = messages.read(stream)
    return message, size


def sizes_of(bodies: Iterable[bytes]) -> list[int]:
    """Send each body in a message of its own, check that it arrives, and return the sizes of the messages."""
    sender, receiver, sizes = SharedBodies(), SharedBodies(), []
    for body in bodies:
        batch: list[Task] = [request(body), ExchangeEnded("u", 1, State.COMPLETED)]
        message, size = sent(sender, batch)
        assert receiver.unpack(message) == batch
        sizes.append(size)
    return sizes


def a_conversation(size: int, *, steps: int = 4, growth: int = 500) -> list[bytes]:
    """Return bodies each of which goes on where the one before it ended, except for its last bytes."""
    return [HISTORY[: size + step * growth] + b"]}" for step in range(steps)]


def test_of_a_conversation_each_message_has_only_what_is_new() -> None:
    """The history is sent once, and later at most the block in which it ended."""
    first, *others = sizes_of(a_conversation(60_000))
    assert first > 60_000
    assert max(others) < BLOCK_SIZE + 2 * 500 + 200


def test_of_a_conversation_the_last_body_is_kept() -> None:
    """The others would only take room from other conversations."""
    sender = SharedBodies()
    for body in a_conversation(60_000, steps=9):
        sender.pack([request(body)])
    assert [b"".join(known) for known in sender._bodies] == [body]


def test_conversations_side_by_side_are_shared_with_their_own() -> None:
    """The newest body is not always the one that goes on."""
    one, other = a_conversation(60_000), [body[::-1] for body in a_conversation(60_000)]
    first, _, *others = sizes_of(body for both in zip(one, other[:1] * 4, strict=True) for body in both)
    assert first > 60_000
    assert max(others[::2]) < BLOCK_SIZE + 2 * 500 + 200


@pytest.mark.parametrize("size", [MIN_SIZE - 1, MAX_SIZE + 1])
def test_small_and_huge_bodies_are_sent_whole(size: int) -> None:
    """Small ones are not worth it; huge ones would need the memory of all others."""
    assert min(sizes_of([bytes(size)] * 2)) > size


def test_a_large_batch_of_which_little_is_new_is_packed() -> None:
    """What is left after sharing decides whether a message is copied, which is cheaper if it is small."""
    body = HISTORY[:100_000]
    message, size = sent(SharedBodies(), [request(body)] * 5)
    assert 5 * len(body) > MAX_COPIED_SIZE > size > len(body)
    assert SharedBodies().unpack(message) == [request(body)] * 5


def test_memory_has_a_bound() -> None:
    """The oldest bodies are forgotten by both ends, the newest are kept."""
    bodies = [b"%2d" % number * 500_000 for number in range(12)]
    sender = SharedBodies()
    for body in bodies:
        sent(sender, [request(body)])
    assert sum(len(block) for known in sender._bodies for block in known) == MAX_SIZE
    *_, newest, oldest = sizes_of([*bodies, bodies[-1], bodies[0]])
    assert newest < 2 * BLOCK_SIZE < MIN_SIZE < oldest


def test_the_number_of_bodies_has_a_bound() -> None:
    """A body that begins like none is compared with each, which must not take long."""
    bodies = [b"%3d" % number * 6_000 for number in range(MAX_BODIES + 1)]
    *_, second, oldest = sizes_of([*bodies, bodies[1], bodies[0]])
    assert second < 2 * BLOCK_SIZE < MIN_SIZE < oldest


def test_a_missing_message_is_noticed() -> None:
    """A body is never made of another one than was meant: the process ends, and its calls are sent again."""
    sender, receiver = SharedBodies(), SharedBodies()
    first, second = (sent(sender, [request(body)])[0] for body in a_conversation(60_000, steps=2))
    with pytest.raises(ValueError, match="is missing"):
        receiver.unpack(second)
    assert receiver.unpack(first)


BODIES = st.lists(
    st.tuples(st.sampled_from([0, 1, 7]), st.integers(3, 12), st.integers(-2, 2), st.binary(max_size=3)), max_size=12
)


@given(BODIES)
def test_any_bodies_arrive(drawn: list[tuple[int, int, int, bytes]]) -> None:
    """Whatever they share, and wherever they end."""
    sizes_of(HISTORY[start : start + blocks * BLOCK_SIZE + more] + end for start, blocks, more, end in drawn)
