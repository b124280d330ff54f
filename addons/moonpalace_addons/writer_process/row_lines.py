"""Describe the row of a call in one line, for the views of the proxy that show calls live."""

from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.state import State
from moonpalace_addons.views.call_line import row_line
from moonpalace_addons.views.money import price
from moonpalace_addons.writer_process.messages import RowLine


def line_of(call: Exchange) -> RowLine:
    """Return the line for the row of a call."""
    return RowLine(
        uuid=call.uuid,
        row_id=call.id,
        text=row_line(call),
        style=outcome(call).style,
        is_running=call.state is State.IN_FLIGHT,
        price=price(call.cost, call.cost_currency),
        warnings=tuple(call.warnings),
    )
