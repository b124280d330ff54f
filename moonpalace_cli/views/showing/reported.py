"""Where and when a call was reported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from moonpalace_addons.store.records.deliveries import DeliveryState
from moonpalace_cli.calls.presentation import local_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moonpalace_addons.store.records.deliveries import Delivery

TEMPLATES: Mapping[DeliveryState, str] = {
    DeliveryState.PENDING: "to be sent to {to} after {when}",
    DeliveryState.SENDING: "being sent to {to} since {when}",
    DeliveryState.SENT: "sent to {to} at {when}",
    DeliveryState.REFUSED: "not sent to {to} at {when}",
    DeliveryState.IN_DOUBT: "sent to {to} at {when}, but it is in doubt whether it arrived",
}
BY_RULE = "by rule {rule}"
MANY = "for {count} calls"


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of a report: English templates with their values, and its address, or why it was not sent."""

    parts: tuple[tuple[str, Mapping[str, object]], ...]
    address: str
    reason: str

    def __str__(self) -> str:
        text = ", ".join(template.format(**values) for template, values in self.parts)
        end = self.address or self.reason
        return f"{text}: {end}" if end else text


def reported(delivery: Delivery) -> Reported:
    """Return what became of a report."""
    at = delivery.due_at if delivery.state is DeliveryState.PENDING else delivery.changed_at
    when = local_time(datetime.fromtimestamp(at / 1e6, UTC))
    parts = [(TEMPLATES[delivery.state], {"to": delivery.destination, "when": when})]
    if delivery.rule is not None:
        parts.append((BY_RULE, {"rule": delivery.rule}))
    if delivery.calls > 1:
        parts.append((MANY, {"count": f"{delivery.calls:,}"}))
    return Reported(tuple(parts), delivery.address or "", delivery.reason or "")
