"""Tests of the likeness of calls, and of limits."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from moonpalace_addons.settings.reports import ReportRule
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_cli.reporting.gathering import MAX_SIZE, Seen, likeness, shares
from moonpalace_cli.reporting.simulation import planned

MINUTE = 60_000_000
HOUR = 60 * MINUTE


def request(*messages: object) -> bytes:
    """Return the body of a chat completion."""
    return json.dumps({"model": "kimi-k3", "messages": messages}).encode()


USER = {"role": "user", "content": "你好"}
SAME: list[tuple[str, dict[str, object], bytes]] = [
    ("another text", {}, request({"role": "user", "content": "再见"})),
    ("more before it", {}, request({"role": "system", "content": "x"}, USER)),
    ("another time", {"latency": 5, "id": 9, "msh_request_id": "other"}, request(USER)),
]
DIFFERENT: list[tuple[str, dict[str, object], bytes]] = [
    ("another status", {"status_code": 500}, request(USER)),
    ("another error", {"error_kind": "rate_limit_reached_error"}, request(USER)),
    ("another end", {"finish_reason": "length"}, request(USER)),
    ("another model", {"model_answered": "kimi-k2"}, request(USER)),
    ("another role", {}, request(USER, {"role": "tool", "tool_call_id": "t", "content": "你好"})),
    ("a much longer text", {}, request({"role": "user", "content": "x" * 5000})),
    ("a picture", {}, request({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]})),
    ("no JSON", {}, b"x"),
    ("too large to look", {}, b"x" * (MAX_SIZE + 1)),
]


@pytest.mark.parametrize(("name", "changes", "body"), SAME)
def test_alike(exchange: Callable[..., Exchange], name: str, changes: dict[str, object], body: bytes) -> None:
    """Calls that only differ in texts and times are alike."""
    assert likeness(exchange(**changes), body) == likeness(exchange(), request(USER)), name


def test_unlike(exchange: Callable[..., Exchange]) -> None:
    """Calls with another error, model or shape of the last message are not alike."""
    found = {likeness(exchange(**changes), body) for _, changes, body in DIFFERENT}
    assert len(found | {likeness(exchange(), request(USER))}) == len(DIFFERENT) + 1


def test_odd_requests(exchange: Callable[..., Exchange]) -> None:
    """Any request has a likeness."""
    odd: list[bytes | None] = [
        None,
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"messages": 3}',
        b'{"messages": [null, {"content": {}}]}',
    ]
    assert all(len(likeness(exchange(), body)) == 32 for body in odd)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report that waits."""

    calls: int


@pytest.mark.parametrize(
    ("calls", "room", "expected"),
    [
        ([3, 1, 2], 5, [[3], [2], [1]]),
        ([3, 1, 2], 3, [[3], [2], [1]]),
        ([3, 1, 2, 9], 2, [[9], [3, 2, 1]]),
        ([3, 1, 2], 1, [[3, 2, 1]]),
        ([3], 0, []),
        ([3], -1, []),
        ([], 5, []),
    ],
)
def test_shares(calls: list[int], room: int, expected: list[list[int]]) -> None:
    """Reports beyond the limit are merged with the last; none is lost."""
    assert [[each.calls for each in share] for share in shares([Waiting(number) for number in calls], room)] == expected


def test_what_would_have_been_sent() -> None:
    """Similar calls within the delay share a report, and reports beyond the limit are sent a day later, as one."""
    rule = ReportRule("r", "error", "chat", limit=2, delay=600)
    calls = [Seen(number, number * MINUTE, f"kind {number % 3}") for number in range(30)]
    result = planned(rule, calls, 10 * 24 * HOUR)
    assert [(each.at, each.calls, len(each.shared)) for each in result] == [
        (10 * MINUTE, 4, 1),
        (11 * MINUTE, 4, 1),
        (24 * HOUR + 10 * MINUTE, 22, 3),
    ]
    assert result[0].newest.id == 9


def test_what_would_wait() -> None:
    """Reports that are not yet due have no time."""
    rule = ReportRule("r", "error", "chat", limit=2, delay=600)
    result = planned(rule, [Seen(1, 0, "a"), Seen(2, HOUR, "b")], HOUR + MINUTE)
    assert [(each.at, each.calls) for each in result] == [(10 * MINUTE, 1), (None, 1)]
