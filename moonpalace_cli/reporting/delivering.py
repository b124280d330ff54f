"""Send a report once: claim it, send it, record its outcome, and resolve abandoned reports."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.records import deliveries
from moonpalace_addons.store.records.deliveries import DeliveryState
from moonpalace_cli.reporting.outcome import InDoubt, Later, Outcome, Refused, Sent

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.deliveries import Delivery
    from moonpalace_cli.reporting.message import Message
    from moonpalace_cli.reporting.receivers.receiver import Receiver

FIRST_PAUSE = 60.0
MAX_PAUSE = 4 * 3600.0
"""Seconds until the second attempt, and the maximum between attempts; each pause is twice as long as the previous one.
"""
MAX_ATTEMPTS = 12
"""Attempts after which a report is given up; about a day after the first one."""
SETTLING_TIME = 60.0
"""Seconds for which a receiver may still process a request that got no answer."""
ASK_AGAIN = 600.0
"""Seconds until a receiver that could not be asked is asked again."""
CLOCK_SKEW = timedelta(hours=1)
"""How much earlier than our attempt a report may have arrived according to the receiver's clock."""
RECORDING_ATTEMPTS = 6
INTERRUPTED = "it was interrupted while it was being sent"
ABANDONED = "its process ended while it was being sent"


def attempt(engine: Engine, delivery: Delivery, message: Message, receiver: Receiver) -> Delivery | None:
    """Send a report unless another process does; return its new state, or None if another process has it."""
    claimed = deliveries.claim(engine, delivery)
    if claimed is None:
        return None
    outcome: Outcome = InDoubt(INTERRUPTED)
    try:
        outcome = receiver.send(message)
    finally:
        record(engine, claimed, outcome)
    with engine.connect() as connection:
        return deliveries.numbered(connection, claimed.id)


def record(engine: Engine, delivery: Delivery, outcome: Outcome) -> None:
    """Record the outcome of a claimed report; if the store is locked, wait until it is free."""
    for number in range(RECORDING_ATTEMPTS):
        try:
            record_once(engine, delivery, outcome)
        except OperationalError:
            if number == RECORDING_ATTEMPTS - 1:
                raise
            time.sleep(number)
        else:
            return


def record_once(engine: Engine, delivery: Delivery, outcome: Outcome) -> None:
    """Record the outcome of a claimed report."""
    match outcome:
        case Sent(address):
            deliveries.set_state(engine, delivery, DeliveryState.SENT, address=address)
        case Refused(reason):
            deliveries.set_state(engine, delivery, DeliveryState.REFUSED, reason=reason)
        case InDoubt(reason):
            deliveries.set_state(engine, delivery, DeliveryState.IN_DOUBT, reason=reason, delay=SETTLING_TIME)
        case Later(reason) if delivery.rule is None:  # a user has to send it again
            deliveries.set_state(engine, delivery, DeliveryState.REFUSED, reason=f"{reason}; try again later")
        case Later(reason, seconds):
            if delivery.attempts >= MAX_ATTEMPTS:
                given_up = f"given up after {delivery.attempts} attempts: {reason}"
                deliveries.set_state(engine, delivery, DeliveryState.REFUSED, reason=given_up)
                return
            pause = min(FIRST_PAUSE * 2 ** (delivery.attempts - 1), MAX_PAUSE) if seconds is None else seconds
            deliveries.set_state(engine, delivery, DeliveryState.PENDING, reason=reason, delay=pause)


def find_out(engine: Engine, delivery: Delivery, receiver: Receiver) -> Delivery:
    """Ask the receiver about an abandoned or doubtful report; return its new state.

    If it has not arrived, it is pending again; if the receiver cannot be asked, it is in doubt.
    """
    state, address, delay = DeliveryState.IN_DOUBT, None, ASK_AGAIN
    reason = delivery.reason or ABANDONED
    if receiver.can_find:
        try:
            address = receiver.find(delivery.marker, tried_at(delivery) - CLOCK_SKEW)
        except MoonPalaceError as error:
            reason = f"{reason.partition(';')[0]}; {error}"
        else:
            state, delay = (DeliveryState.SENT if address else DeliveryState.PENDING), 0.0
            reason = "" if address else reason
    deliveries.set_state(engine, delivery, state, address=address, reason=reason or None, delay=delay)
    with engine.connect() as connection:
        return deliveries.numbered(connection, delivery.id) or delivery


def tried_at(delivery: Delivery) -> datetime:
    """Return when a report was first sent."""
    return datetime.fromtimestamp((delivery.tried_at or delivery.changed_at) / 1e6, UTC)
