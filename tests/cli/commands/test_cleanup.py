"""Tests of `mpal cleanup`."""

import io
import json
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest

from moonpalace_addons.store.query import times
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.upkeep import steps
from tests.cli.conftest import Mpal, Store


def remaining(mpal: Mpal) -> list[int]:
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
def test_calls_before_a_moment_go(store: Store, mpal: Mpal, before: str, shown: str, deleted: int) -> None:
    """Times are local unless they have an offset, and the time itself is kept."""
    starts = [datetime(2024, 7, 28, 15, 59, 59), datetime(2024, 7, 29, 13, 30, 42), datetime(2024, 7, 29, 13, 30, 43)]
    for moment in starts:
        store.add(started_at=moment.replace(tzinfo=UTC))
    calls = "1 call" if deleted == 1 else f"{deleted} calls"
    result = mpal("cleanup", "--before", before)
    assert (result.code, result.out, result.err) == (0, f"deleted {calls} made before {shown}\n", "")
    assert remaining(mpal) == [3, 2, 1][: 3 - deleted]


@pytest.mark.parametrize(("before", "left"), [("-30d", [3, 2]), ("-36h", [3]), ("yesterday", [3]), ("-1h", [])])
def test_calls_older_than_a_while_go(store: Store, mpal: Mpal, before: str, left: list[int]) -> None:
    """A time has the same forms as in `mpal list --since`: a duration or the name of a day."""
    now = datetime.now(UTC)
    for hours in (31 * 24, 3 * 24, 2):
        store.add(started_at=now - timedelta(hours=hours))
    result = mpal("cleanup", "--before", before)
    assert (result.code, result.err) == (0, "")
    assert remaining(mpal) == left


def test_default_is_a_week(store: Store, mpal: Mpal) -> None:
    """Without --before, calls that began more than seven days ago are deleted."""
    now = datetime.now(UTC)
    store.add(started_at=now - timedelta(days=8, minutes=1))
    store.add(started_at=now - timedelta(days=6, hours=23))
    assert mpal("cleanup").out.startswith("deleted 1 call made before ")
    assert remaining(mpal) == [2]


def test_calls_under_way_stay(store: Store, mpal: Mpal) -> None:
    """A call in flight is not deleted, however old; neither are its bodies."""
    store.add(state=State.IN_FLIGHT)
    store.add()
    assert mpal("cleanup", "--before", "2999-01-01").out == "deleted 1 call made before 2999-01-01 00:00:00\n"
    assert remaining(mpal) == [1]


def test_json(store: Store, mpal: Mpal) -> None:
    """With --json the result is an object, sizes in bytes."""
    store.add()
    store.add(note="keep this")
    result = json.loads(mpal("cleanup", "--before", "2999-01-01", "--json").out)
    assert {name: result[name] for name in ("deleted", "before", "kept_labelled", "dry_run")} == {
        "deleted": 1,
        "before": "2999-01-01T00:00:00+08:00",
        "kept_labelled": 1,
        "dry_run": False,
    }
    assert 0 < result["size"] <= result["size_before"]
    assert json.loads(mpal("cleanup", "--keep-last", "1", "--json").out)["before"] is None


def test_labelled_calls_stay(store: Store, mpal: Mpal) -> None:
    """Calls with a category or a note are kept and reported, unless --include-labelled is given."""
    store.add()
    store.add(category="goodcase")
    store.add(note="n")
    first = mpal("cleanup", "--before", "2999-01-01")
    assert first.out == (
        "deleted 1 call made before 2999-01-01 00:00:00\n"
        "2 calls kept because of their labels; --include-labelled deletes them too\n"
    )
    assert remaining(mpal) == [3, 2]
    second = mpal("cleanup", "--before", "2999-01-01", "--include-labelled")
    assert second.out == "deleted 2 calls made before 2999-01-01 00:00:00\n"
    assert remaining(mpal) == []


def test_the_last_calls_stay(store: Store, mpal: Mpal) -> None:
    """With --keep-last all calls except the newest N are deleted, however old they are."""
    for second in range(4):
        store.add(started_at=datetime(2020, 1, 1, 0, 0, second, tzinfo=UTC))
    result = mpal("cleanup", "--keep-last", "2")
    assert (result.code, result.out) == (0, "deleted 2 calls older than the last 2\n")
    assert remaining(mpal) == [4, 3]


def test_conditions_work_together(store: Store, mpal: Mpal) -> None:
    """A call that matches any condition is deleted."""
    for second in range(4):
        store.add(started_at=datetime(2020, 1, 1, 0, 0, second, tzinfo=UTC))
    result = mpal("cleanup", "--keep-last", "3", "--before", "2020-01-01T00:00:02Z")
    assert result.out == "deleted 2 calls made before 2020-01-01 08:00:02 or older than the last 3\n"
    assert remaining(mpal) == [4, 3]


def test_a_size_is_kept(store: Store, mpal: Mpal) -> None:
    """With --max-size the oldest calls are deleted until the database fits; an unreachable size is reported."""
    for second in range(10):
        data = bytes(f"{second}" * 200_000, "ascii")
        store.add(started_at=datetime(2020, 1, 1, 0, 0, second, tzinfo=UTC), request=varied(data))
    result = mpal("cleanup", "--max-size", "1.5MB")
    assert result.out.startswith("deleted ")
    assert result.out.endswith(" that do not fit into 1.5 MB\n")
    left = remaining(mpal)
    assert 1 <= len(left) <= 5
    assert left[0] == 10
    store.add(request=varied(b"x" * 2_000_000))
    mpal("label", "--id", "10", "--id", "11", "--good")
    outcome = mpal("cleanup", "--max-size", "1MB").out.splitlines()
    assert outcome[1] == "2 calls kept because of their labels; --include-labelled deletes them too"
    assert re.fullmatch(r"the database still has 2\.\d MB: nothing more may be deleted", outcome[2])
    assert remaining(mpal) == [11, 10]


@pytest.mark.parametrize("size", ["0", "1KB", "999999", "0.9MB"])
def test_a_size_that_no_database_can_keep_is_refused(store: Store, mpal: Mpal, size: str) -> None:
    """A size close to that of an empty database would delete every call: it is refused, with the minimum."""
    store.add()
    result = mpal("cleanup", "--max-size", size)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"Error: Invalid value for '--max-size': {size!r} must be at least 1MB: an empty database takes more than half"
        " of that (see mpal cleanup --help)\n"
    )
    assert remaining(mpal) == [1]


def varied(data: bytes) -> bytes:
    """Return data of this length without repetitions."""
    return b"".join(b"%s%07d" % (data[:1], place) for place in range(len(data) // 8))


def test_a_dry_run_deletes_nothing(store: Store, mpal: Mpal) -> None:
    """With --dry-run it says what would be deleted."""
    store.add()
    result = mpal("cleanup", "--before", "2999-01-01", "--dry-run")
    assert result.out == "would delete 1 call made before 2999-01-01 00:00:00\n"
    assert json.loads(mpal("cleanup", "--keep-last", "0", "--dry-run", "--json").out)["dry_run"] is True
    assert remaining(mpal) == [1]


def test_vacuum_makes_the_file_as_small_as_can_be(store: Store, mpal: Mpal) -> None:
    """With --vacuum the file is rewritten, and the remaining calls are there."""
    for second in range(3):
        store.add(started_at=datetime(2020, 1, 1, 0, 0, second, tzinfo=UTC), request=varied(b"%d" % second * 400_000))
    result = json.loads(mpal("cleanup", "--keep-last", "1", "--vacuum", "--json").out)
    assert result["size"] < result["size_before"]
    assert remaining(mpal) == [3]


@pytest.mark.parametrize("size", ["", "big", "-1", "2XB", "1e9", "2 G B"])
def test_bad_sizes_delete_nothing(store: Store, mpal: Mpal, size: str) -> None:
    """An invalid size is refused with the valid forms."""
    store.add()
    result = mpal("cleanup", "--max-size", size)
    assert (result.code, result.out) == (2, "")
    assert "must be a number of bytes, or one with KB, MB, GB or TB (500MB, 2GB)" in result.err
    assert remaining(mpal) == [1]


@pytest.mark.parametrize("before", ["tomorrow", "", "-2x", "2024-13-01", "0001-01-01", "2024-07-29 25:00"])
def test_bad_times_delete_nothing(store: Store, mpal: Mpal, before: str) -> None:
    """An invalid time is refused with the valid forms."""
    store.add()
    result = mpal("cleanup", "--before", before)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"Error: Invalid value for '--before': {before!r} is not a time: write {times.EXAMPLES}"
        " (see mpal cleanup --help)\n"
    )
    assert remaining(mpal) == [1]


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("calls", "flags", "answer", "left"),
    [(101, [], "y", 0), (101, [], "n", 101), (101, ["--yes"], "", 0), (100, [], "", 0), (101, ["--dry-run"], "", 101)],
)
def test_a_terminal_is_asked(
    calls: int, flags: list[str], answer: str, left: int, store: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal more than 100 calls are deleted only after confirmation, with a progress bar."""
    for _ in range(calls):
        store.add(started_at=datetime(2024, 7, 28, tzinfo=UTC))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr(sys, "stderr", terminal)
    assert mpal("cleanup", "--before", "2025-01-01", *flags).code == 0
    assert ("Delete 101 calls?" in terminal.getvalue()) is bool(answer)
    assert ("nothing was deleted" in terminal.getvalue()) is (answer == "n")
    assert ("Deleting" in terminal.getvalue()) is (left == 0)
    assert len(remaining(mpal)) == min(left, 10)


def test_an_interruption_says_what_is_done(store: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls deleted before Ctrl-C stay deleted, and are counted."""
    for _ in range(60):
        store.add(started_at=datetime(2024, 7, 28, tzinfo=UTC))
    monkeypatch.setattr(steps.Pace, "amount", lambda _, shared: 50)

    def interrupt(*_: object, **__: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps.Pace, "note", interrupt)
    result = mpal("cleanup", "--before", "2025-01-01")
    assert (result.code, result.err.strip()) == (130, "interrupted: 50 calls are deleted; run it again to continue")
    assert json.loads(mpal("list", "--count", "--json").out) == {"count": 10}
