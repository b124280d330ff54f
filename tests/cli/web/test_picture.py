"""The picture of a stream."""

import pytest

from moonpalace_addons.views.timeline import Moment
from moonpalace_cli.web.picture import HEIGHT, MAX_POINTS, MAX_STALLS, WIDTH, picture
from tests.exchanges import an_exchange

MS = 1_000_000


def moment(number: int, at: int | None, kind: str = "content", text: str = "abcd") -> Moment:
    """Return an event at this many milliseconds."""
    return Moment(number, None if at is None else at * MS, None, 10, kind, text)


def test_areas_and_marks() -> None:
    """Reasoning is below other text; a long gap, the headers and the first token are at their positions."""
    moments = [moment(1, 100, "reasoning"), moment(2, 200), moment(3, 900), moment(4, 1000, "usage", "9 + 9")]
    call = an_exchange(latency=1000 * MS, time_to_headers=50 * MS, time_to_first_token=100 * MS)
    result = picture(call, moments)
    assert result is not None
    assert result.characters == 12
    assert result.reasoning == f"M100.0 {HEIGHT}H100.0V66.7H200.0V66.7H900.0V66.7H1000.0V66.7H{WIDTH}V{HEIGHT}Z"
    assert result.visible.startswith(f"M100.0 {HEIGHT}H100.0V66.7H200.0V33.3H900.0V0.0")
    assert [(mark.name, mark.place) for mark in result.marks] == [("headers", 5.0), ("first token", 10.0)]
    assert [(stall.left, stall.width, stall.text) for stall in result.stalls] == [
        (10.0, 10.0, "100ms"), (20.0, 70.0, "700ms"), (90.0, 10.0, "100ms")
    ]  # fmt: skip
    assert [tick.text for tick in result.ticks] == ["0", "250ms", "500ms", "750ms", "1.00s"]


def test_the_silence_before_the_end() -> None:
    """A stream that is silent until the client leaves shows that."""
    result = picture(an_exchange(latency=1000 * MS, longest_stall=900 * MS), [moment(1, 100)])
    assert result is not None
    assert [(stall.left, stall.width) for stall in result.stalls] == [(10.0, 90.0)]
    result = picture(an_exchange(latency=1000 * MS), [moment(1, 100)])
    assert result is not None
    assert result.stalls == []  # it was not kept to its end


def test_many_events() -> None:
    """5,000 events are some hundred points, and of many gaps only the longest are marked."""
    result = picture(an_exchange(latency=5_000 * MS), [moment(number, number) for number in range(5_000)])
    assert result is not None
    assert result.visible.count("H") <= MAX_POINTS + 3
    gaps = picture(an_exchange(latency=None), [moment(number, 50 * number) for number in range(20)])
    assert gaps is not None
    assert len(gaps.stalls) == MAX_STALLS


@pytest.mark.parametrize("moments", [[], [moment(1, None)], [moment(1, 0)]])
def test_no_times(moments: list[Moment]) -> None:
    """Without times there is no picture."""
    assert picture(an_exchange(latency=None), moments) is None
