"""Secrets that are split over events are neither in the merged answer nor in the stored events."""

import json
import re
import tracemalloc
from collections.abc import Sequence
from unittest.mock import Mock

import pytest

from moonpalace_addons.store.write import answers, derive, gate
from moonpalace_addons.wire.secrets import streams
from moonpalace_addons.wire.secrets.values import known
from tests.store.write.answered import END, stream
from tests.units import outcome

SAID = "my key is sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz, and KEY-OF-THE-CLIENT-0123456789"


def test_a_secret_in_pieces_that_a_whole_text_replaces_is_masked() -> None:
    """If the final text differs, the pieces are not in the merged answer, and are masked in the events."""
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    pieces = [f"{SAID} "[at : at + 7] for at in range(0, len(SAID), 7)]
    events = [
        {"type": "response.created", "response": {"id": "resp_1", "object": "response"}},
        *({"type": "response.output_text.delta", **place, "delta": piece} for piece in pieces),
        {"type": "response.output_text.done", **place, "text": "other"},
        {"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}},
    ]
    unit = outcome(END, stream(*map(json.dumps, events)), {}, path="/v1/responses")
    joined = "".join(re.findall(r'"delta": "([^"]*)"', (unit.stream or b"").decode()))
    assert "my key is" in joined
    assert "0123456789abcdefghijklmnopqrstuvwxyz" not in joined


@pytest.mark.parametrize("numbers", [range(5), [1] * 5])
def test_a_secret_in_what_all_events_begin_with_is_masked_in_each(numbers: Sequence[int]) -> None:
    """Where events begin alike, they are searched without that, which may hold a secret itself."""
    key = "sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz"
    events = [{"id": "1", "system_fingerprint": key, "model": "k", "choices": [], "n": n} for n in numbers]
    data = "".join(f"data: {json.dumps(event, separators=(',', ':'))}\n\n" for event in events).encode()
    masked, kinds = gate.masked_body(data, ())
    assert masked == data.replace(key.encode(), b"*" * len(key))
    assert kinds


@pytest.mark.parametrize("name", ["output_text", "reasoning_summary_text", "odd_text"])
def test_a_secret_in_the_pieces_of_a_response_is_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for Responses; a stream without secrets is read once if all its texts are known."""
    place = {"item_id": "m", "output_index": 0, "content_index": 0, "summary_index": 0}
    for said, is_secret in ((SAID, True), ("all is well with this text", False)):
        reads = Mock(side_effect=answers.read)
        monkeypatch.setattr(derive, "read", reads)
        pieces = [said[at : at + 7] for at in range(0, len(said), 7)]
        events = [{"type": f"response.{name}.delta", **place, "delta": piece} for piece in pieces]
        unit = outcome(END, stream(*map(json.dumps, events)), {}, path="/v1/responses")
        joined = "".join(re.findall(r'"delta": "([^"]*)"', (unit.stream or b"").decode()))
        assert (said == joined) is not is_secret
        assert "0123456789abcdefghijklmnopqrstuvwxyz" not in joined + (unit.response_body or b"").decode()
        assert reads.call_count == (2 if is_secret or name == "odd_text" else 1)
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("kind", "member"),
    [("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json"), ("odd", "words")],
)
def test_a_secret_in_the_pieces_of_a_message_is_masked(kind: str, member: str) -> None:
    """A secret split over the events of a message is neither in the message nor in the stored events."""
    text = json.dumps({"a": SAID}) if member == "partial_json" else SAID
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": kind, member: piece}} for piece in pieces]
    start: list[dict[str, object]] = [{"type": "message_start", "message": {"id": "msg_1", "type": "message"}}]
    events = [json.dumps(event) for event in [*start, *deltas, {"type": "message_stop"}]]
    unit = outcome(END, stream(*events), {}, path="/v1/messages", hidden=(b"KEY-OF-THE-CLIENT-0123456789",))
    stored = (unit.stream or b"").decode()
    joined = "".join(re.findall(rf'"{member}": "((?:[^"\\\\]|\\\\.)*)"', stored))
    for secret in ("0123456789abcdefghijklmnopqrstuvwxyz", "KEY-OF-THE-CLIENT-0123456789"):
        assert secret not in joined
        assert secret not in (unit.response_body or b"").decode()
    assert "my key is" in joined


def test_memory_of_many_pieces() -> None:
    """The pieces of a text are searched with little memory, although there may be millions."""
    body = b'data: {"delta": "a"}\n\n' * 30_000
    tracemalloc.start()
    try:
        count = sum(1 for _ in streams.strings(body))
        assert not streams.find_split(body, known(()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 30_000
    assert peak < 40 * 30_000
