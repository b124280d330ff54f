"""Tests of the description of a call's report."""

from dataclasses import replace

import pytest

from moonpalace_addons.store.records.deliveries import Delivery, DeliveryState
from moonpalace_cli.views.showing.reported import reported

SENT = Delivery(
    id=7, marker="m", exchange_id=3, destination="tracker", rule=None, likeness=None, calls=1, kinds=1,
    state=DeliveryState.SENT, attempts=1, first_at=0, last_at=0, created_at=0, due_at=60_000_000, changed_at=0,
    tried_at=0, address="https://example.com/issues/1", reason=None,
)  # fmt: skip
ZERO, MINUTE = "1970-01-01 08:00:00", "1970-01-01 08:01:00"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, f"sent to tracker at {ZERO}: https://example.com/issues/1"),
        ({"address": ""}, f"sent to tracker at {ZERO}"),
        (
            {"rule": "errors", "calls": 1200},
            f"sent to tracker at {ZERO}, by rule errors, for 1,200 calls: https://example.com/issues/1",
        ),
        ({"state": DeliveryState.SENDING, "address": None}, f"being sent to tracker since {ZERO}"),
        (
            {"state": DeliveryState.PENDING, "address": None, "reason": "it answers 503"},
            f"to be sent to tracker after {MINUTE}: it answers 503",
        ),
        (
            {"state": DeliveryState.REFUSED, "address": None, "reason": "it answers 401"},
            f"not sent to tracker at {ZERO}: it answers 401",
        ),
        (
            {"state": DeliveryState.IN_DOUBT, "address": None, "reason": "it was interrupted"},
            f"sent to tracker at {ZERO}, but it is in doubt whether it arrived: it was interrupted",
        ),
    ],
)
def test_words(changes: dict[str, object], words: str) -> None:
    """Each state has a time and a destination; a rule has the number of calls."""
    assert reported(replace(SENT, **changes)).in_language("en") == words  # type: ignore[arg-type]


def test_chinese() -> None:
    """A Chinese terminal gets Chinese."""
    said = reported(replace(SENT, rule="errors", calls=1200)).in_language("zh")
    assert said == f"已于 {ZERO} 发送到 tracker，由规则 errors 发送，代表 1,200 次调用：https://example.com/issues/1"
