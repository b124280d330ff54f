"""Tests of the moments that users write."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.flags import moments

NOW = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)  # 23 November, 01:30 in Shanghai


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("-2h", "2026-11-22 23:30:00"),
        ("2h", "2026-11-22 23:30:00"),
        ("-30m", "2026-11-23 01:00:00"),
        ("-90s", "2026-11-23 01:28:30"),
        ("-1d12h", "2026-11-21 13:30:00"),
        ("-1.5h", "2026-11-23 00:00:00"),
        ("-2W", "2026-11-09 01:30:00"),
        ("2024-07-29", "2024-07-29 00:00:00"),
        ("2024-07-29 21:30:43", "2024-07-29 21:30:43"),
        ("2024-07-29T13:30:43Z", "2024-07-29 21:30:43"),
        (" 2024-07-29T21:30+08:00 ", "2024-07-29 21:30:00"),
        ("0:15", "2026-11-23 00:15:00"),
        ("00:15:30", "2026-11-23 00:15:30"),
        ("today", "2026-11-23 00:00:00"),
        ("Yesterday", "2026-11-22 00:00:00"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    """How long ago, a date, a time of today or both; local time unless the text says otherwise."""
    found = moments.parse(text, NOW)
    assert found.astimezone().strftime("%Y-%m-%d %H:%M:%S") == moment
    assert found.tzinfo is not None


@pytest.mark.parametrize("text", ["", "soon", "-2", "2y", "2024-13-01", "25:00", "-99999999999999d", "-h", "２h"])
def test_what_is_no_moment(text: str) -> None:
    """Anything else is refused with what can be written instead."""
    with pytest.raises(ValueError, match="is no time: write -2h"):
        moments.parse(text, NOW)


@given(st.text(max_size=12))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    """No text does more than be refused, and what is taken has a time zone."""
    try:
        found = moments.parse(text, NOW)
    except ValueError:
        return
    assert found.tzinfo is not None
