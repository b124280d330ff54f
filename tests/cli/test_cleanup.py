"""Tests of `mpal cleanup`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from moonpalace_addons.store.tasks import State

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome, Store


def remaining(mpal: Callable[..., Outcome]) -> list[int]:
    """Return the ids that are still listed."""
    return [json.loads(line)["id"] for line in mpal("list", "--json").out.splitlines()]


@pytest.mark.parametrize(
    ("before", "shown", "deleted"),
    [
        ("2024-07-30", "2024-07-30 00:00:00", 3),
        ("2024-07-29 21:30:43", "2024-07-29 21:30:43", 2),
        ("2024-07-29T21:30:44", "2024-07-29 21:30:44", 3),
        ("2024-07-29T13:30:43Z", "2024-07-29 21:30:43", 2),
        ("2024-07-29T13:30:44+00:00", "2024-07-29 21:30:44", 3),
        ("2024-07-29", "2024-07-29 00:00:00", 1),
        ("2000-01-01", "2000-01-01 00:00:00", 0),
    ],
)
def test_calls_before_a_moment_go(
    store: Store, mpal: Callable[..., Outcome], before: str, shown: str, deleted: int
) -> None:
    """Times are local unless they bring an offset, and the moment itself stays."""
    moments = [datetime(2024, 7, 28, 15, 59, 59), datetime(2024, 7, 29, 13, 30, 42), datetime(2024, 7, 29, 13, 30, 43)]
    for moment in moments:
        store.add(started_at=moment.replace(tzinfo=UTC))
    calls = "1 call" if deleted == 1 else f"{deleted} calls"
    result = mpal("cleanup", "--before", before)
    assert (result.code, result.out, result.err) == (0, f"deleted {calls} made before {shown}\n", "")
    assert remaining(mpal) == [3, 2, 1][: 3 - deleted]


def test_default_is_a_week(store: Store, mpal: Callable[..., Outcome]) -> None:
    """Without --before, what began before the date of seven days ago goes."""
    now = datetime.now(UTC)
    store.add(started_at=now - timedelta(days=8, minutes=1))
    store.add(started_at=now - timedelta(days=6, hours=23))
    assert mpal("cleanup").out.startswith("deleted 1 call made before ")
    assert remaining(mpal) == [2]


def test_calls_under_way_stay(store: Store, mpal: Callable[..., Outcome]) -> None:
    """A call in flight is not deleted, however old; its bodies neither."""
    store.add(state=State.IN_FLIGHT)
    store.add()
    assert mpal("cleanup", "--before", "2999-01-01").out == "deleted 1 call made before 2999-01-01 00:00:00\n"
    assert remaining(mpal) == [1]


def test_json(store: Store, mpal: Callable[..., Outcome]) -> None:
    """With --json the number and the moment are an object."""
    store.add()
    result = mpal("cleanup", "--before", "2999-01-01", "--json")
    assert json.loads(result.out) == {"deleted": 1, "before": "2999-01-01T00:00:00+08:00"}


@pytest.mark.parametrize("before", ["yesterday", "", "2024-13-01", "0001-01-01", "2024-07-29 25:00"])
def test_bad_times_delete_nothing(store: Store, mpal: Callable[..., Outcome], before: str) -> None:
    """What is no time is refused with the forms that are."""
    store.add()
    result = mpal("cleanup", "--before", before)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"Error: Invalid value for '--before': {before!r} is no time: write 2024-07-29, '2024-07-29 21:30:43' or "
        "ISO 8601 (see mpal cleanup --help)\n"
    )
    assert remaining(mpal) == [1]
