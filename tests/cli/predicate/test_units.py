"""Tests of the note on numbers without a unit."""

import pytest

from moonpalace_addons.store.query.parser import parse
from moonpalace_addons.store.query.units import remark
from tests.cli.conftest import Mpal, Store

HOW = ": write 2s or 300ms for other units"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("latency > 2", "latency > 2 means nanoseconds"),
        ("Latency >= 2.5 && not (ttft < 300)", "Latency >= 2.5 means nanoseconds, ttft < 300 means milliseconds"),
        ("overhead @ [1, 0, 1ms]", "overhead @ 1 means nanoseconds"),
        ("latency > 2 || latency > 2", "latency > 2 means nanoseconds"),
        ("latency > 2s && latency > 0 && latency", None),
        ("status == 200 && server_timing > 100 && len(model) > 2", None),
        ("request_body.latency > 2 && note == 'latency > 2'", None),
    ],
)
def test_remark(text: str, told: str | None) -> None:
    """Each duration compared with a bare number is named once, with its unit."""
    assert remark([parse(text)]) == (None if told is None else told + HOW)


@pytest.mark.parametrize(
    ("text", "is_odd"),
    [("latency > 2", True), ("latency > 2000000000", False), ("ttft > 2", False), ("overhead > 2", False)],
)
def test_odd_numbers(text: str, is_odd: bool) -> None:
    """A duration of a few nanoseconds is implausible."""
    assert (remark([parse(text)], only_implausible=True) is not None) is is_odd


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["predicate", "ttft > 300"], True),
        (["predicate", "ttft > 300ms"], False),
        (["list", "-p", "latency > 2"], True),
        (["list", "--json", "-p", "latency > 9000000000"], True),
        (["list", "--count", "-p", "latency > 9000000000"], True),
        (["list", "-p", "latency > 1000000"], False),
    ],
)
def test_commands(store: Store, mpal: Mpal, arguments: list[str], told: bool) -> None:
    """`mpal predicate` always prints it; `mpal list` if it found nothing, or if the number is implausible."""
    store.add()
    result = mpal(*arguments)
    assert (result.code, result.err.endswith(f"{HOW}\n"), result.err == "") == (0, told, not told)
