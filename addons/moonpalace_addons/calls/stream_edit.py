"""The state of a call whose stream is changed on its way: `force_stream` begins it, `edit_stream` carries it out."""

from dataclasses import dataclass, field

from moonpalace_addons.calls.adapter import Adapter
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import Failure


@dataclass(slots=True)
class StreamEdit:
    """How an answer has to be changed back because its request was changed, and what changes it once it comes.

    `coerce`: upstream streams what the client wants as one document. `hide_usage`: the client did not ask for usage.
    """

    coerce: bool = False
    hide_usage: bool = False
    adapter: Adapter | None = field(default=None, repr=False)


def adapter_of(call: Call) -> Adapter | None:
    """Return what changes the stream of a call, None if it passes as it is."""
    edit = call.find(StreamEdit)
    return edit.adapter if edit is not None else None


def is_forced(call: Call) -> bool:
    """Tell whether upstream streams what the client wants as one document."""
    edit = call.find(StreamEdit)
    return edit is not None and edit.coerce


def reason(call: Call) -> tuple[Failure, str] | None:
    """Return why MoonPalace ended a call, None if it did not: what its stream showed comes before giving it up."""
    adapter = adapter_of(call)
    return (adapter.failure if adapter is not None else None) or call.given_up
