"""Units of calls that have ended, without the earlier data."""

from typing import Any

from moonpalace_addons.store.write.derive import finish
from moonpalace_addons.store.write.units import Unit


def outcome(*given: Any, **more: Any) -> Unit:
    """Return a unit to which the end of a call has been added, with the arguments of `finish`."""
    unit = Unit("u", {})
    finish(unit, *given, **more)
    return unit
