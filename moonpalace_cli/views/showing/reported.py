"""When and where a call was reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.store.records.deliveries import DeliveryState
from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.views.showing.phrases import CHINESE_CODE, Phrase, listed, phrase

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
    """The state of a report: its description, and its address, or why it was not sent."""

    parts: tuple[Phrase, ...]
    address: str
    reason: str

    def text(self, language: str) -> str:
        """Return the description in a language."""
        return listed(self.parts, language)

    def in_language(self, language: str) -> str:
        """Return the whole text."""
        end = self.address or self.reason
        colon = "：" if language == CHINESE_CODE else ": "
        return f"{self.text(language)}{colon}{end}" if end else self.text(language)


def reported(delivery: Delivery) -> Reported:
    """Return the state of a report."""
    at = delivery.due_at if delivery.state is DeliveryState.PENDING else delivery.changed_at
    when = local_time(at)
    parts = [phrase(TEMPLATES[delivery.state], to=delivery.destination, when=when)]
    if delivery.rule is not None:
        parts.append(phrase(BY_RULE, rule=delivery.rule))
    if delivery.calls > 1:
        parts.append(phrase(MANY, count=f"{delivery.calls:,}"))
    return Reported(tuple(parts), delivery.address or "", delivery.reason or "")
