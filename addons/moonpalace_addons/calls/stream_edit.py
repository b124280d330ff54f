"""State of a call whose stream is edited: set by `force_stream`, used by `edit_stream`."""

from dataclasses import dataclass, field

from moonpalace_addons.calls.adapter import Adapter
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import Failure


@dataclass(slots=True)
class StreamEdit:
    """How an answer must be edited because its request was changed, and the adapter that does it.

    `coerce`: upstream streams, but the client expects one document. `hide_usage`: the client did not request usage.
    """

    coerce: bool = False
    hide_usage: bool = False
    adapter: Adapter | None = field(default=None, repr=False)


def adapter_of(call: Call) -> Adapter | None:
    """Return the adapter that edits the stream of a call, or None."""
    edit = call.find(StreamEdit)
    return edit.adapter if edit is not None else None


def is_forced(call: Call) -> bool:
    """Tell whether upstream streams although the client expects one document."""
    edit = call.find(StreamEdit)
    return edit is not None and edit.coerce


def reason(call: Call) -> tuple[Failure, str] | None:
    """Return why MoonPalace ended a call, or None; the adapter's reason takes precedence over `given_up`."""
    adapter = adapter_of(call)
    return (adapter.failure if adapter is not None else None) or call.given_up
