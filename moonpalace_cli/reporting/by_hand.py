"""Send reports of calls that a user has chosen, each once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import deliveries
from moonpalace_addons.store.records.deliveries import TO_SEND, DeliveryState
from moonpalace_addons.store.records.values import microseconds
from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.reporting.delivering import SETTLING_TIME, attempt, find_out
from moonpalace_cli.reporting.message import Message, compose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Engine

    from moonpalace_addons.store.records.deliveries import Delivery
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.redaction.redactor import Redactor
    from moonpalace_cli.reporting.receivers.receiver import Receiver


@dataclass(frozen=True, slots=True)
class Prepared:
    """A report that can be sent; `state_text` is a description instead if it was sent before, or may have been.

    `delivery` is that of an earlier attempt, or of a rule.
    """

    exchange: Exchange
    message: Message | None = field(default=None, repr=False)
    delivery: Delivery | None = None
    state_text: str = ""

    @property
    def has_failed(self) -> bool:
        """Return whether it is not known to have arrived."""
        return self.delivery is None or self.delivery.state is not DeliveryState.SENT


@dataclass(frozen=True, slots=True)
class Sender:
    """Send reports of calls to the destination `name`; with `again` even those that were sent there before."""

    engine: Engine
    name: str
    receiver: Receiver
    redactor: Redactor | None
    allow_secrets: bool = False
    again: bool = False

    def prepared(self, ids: Sequence[int], *, asks: bool) -> Iterator[Prepared]:
        """Yield the reports of calls; with `asks` the receiver is asked about doubtful ones."""
        for exchange in selection.in_order(self.engine, ids):
            with self.engine.connect() as connection:
                earlier = deliveries.latest(connection, exchange.id, self.name)
            if earlier is not None and asks and not self.again:
                earlier = self._found_out(earlier)
            if earlier is None or self.again or earlier.state in TO_SEND:
                message = compose(self.engine, exchange.id, self.redactor, allow_secrets=self.allow_secrets)
                yield Prepared(exchange, message)
            else:
                yield Prepared(exchange, None, earlier, story(earlier))

    def _found_out(self, delivery: Delivery) -> Delivery:
        """Return a report after asking its receiver about it, if that is possible."""
        with self.engine.connect() as connection:
            is_abandoned = deliveries.is_abandoned(connection, delivery)
            age = deliveries.age(connection, delivery)
        is_doubted = delivery.state is DeliveryState.IN_DOUBT and self.receiver.can_find and age >= SETTLING_TIME
        return find_out(self.engine, delivery, self.receiver) if is_abandoned or is_doubted else delivery

    def send(self, ready: Prepared) -> Prepared:
        """Send a report; return it with its outcome."""
        if ready.message is None:
            return ready
        exchange = ready.exchange
        started = microseconds(exchange.started_at)
        delivery = deliveries.wanted(self.engine, exchange.id, started, self.name, again=self.again)
        done = attempt(self.engine, delivery, replace(ready.message, marker=delivery.marker), self.receiver)
        if done is None:
            return Prepared(exchange, None, delivery, f"{about(delivery)} is being sent by another process")
        return Prepared(exchange, None, done, story(done))


def about(delivery: Delivery) -> str:
    """Return the name of a report in messages: its call, or its number and rule."""
    return f"call {delivery.exchange_id}" if delivery.rule is None else f"report {delivery.id} of rule {delivery.rule}"


def doubtful(delivery: Delivery) -> str:
    """Return a message that a report may have arrived."""
    return f"{about(delivery)}: whether {delivery.destination} has the report is in doubt ({delivery.reason})"


def story(delivery: Delivery) -> str:
    """Describe the state of a report, and the possible next steps."""
    when = local_time(delivery.changed_at)
    match delivery.state:
        case DeliveryState.SENDING:
            return f"{about(delivery)} is being sent by another process"
        case DeliveryState.SENT:
            return f"{about(delivery)} was sent to {delivery.destination} at {when}: {delivery.address}"
        case DeliveryState.IN_DOUBT:
            return f"{doubtful(delivery)}; look there, and send it again with {command(delivery)}"
        case DeliveryState.PENDING:
            return f"{about(delivery)} is not sent: {delivery.reason}; try again later"
        case _:
            return f"{about(delivery)} is not sent: {delivery.reason}"


def command(delivery: Delivery) -> str:
    """Return the command that sends a report again."""
    if delivery.rule is not None:
        return f"mpal report --retry {delivery.id}"
    return f"mpal report {delivery.exchange_id} --to {delivery.destination} --again"


def retried(engine: Engine, number: int) -> Delivery:
    """Return a report that may be sent again; raise MoonPalaceError for any other."""
    with engine.connect() as connection:
        delivery = deliveries.numbered(connection, number)
        if delivery is None:
            raise MoonPalaceError(f"there is no report {number}; mpal report --list shows all")
        is_going = delivery.state is DeliveryState.SENDING and not deliveries.is_abandoned(connection, delivery)
    if is_going or delivery.state is DeliveryState.SENT:
        raise MoonPalaceError(story(delivery))
    return delivery


def reopened(engine: Engine, delivery: Delivery) -> Delivery:
    """Make a report pending again."""
    deliveries.set_state(engine, delivery, DeliveryState.PENDING, reason=delivery.reason)
    with engine.connect() as connection:
        return deliveries.numbered(connection, delivery.id) or delivery
