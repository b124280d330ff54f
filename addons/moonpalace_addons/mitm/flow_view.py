"""mitmproxy's view of flows and its event log, which mitmweb and the console have, but not mitmdump."""

from collections import deque
from typing import TYPE_CHECKING, cast

from mitmproxy import ctx
from mitmproxy.flow import Flow

if TYPE_CHECKING:
    from mitmproxy.addons.view import View  # importing it costs `mpal start` some milliseconds


def flow_view() -> "View | None":
    """Return the view of this mitmproxy, or None if it has none."""
    master = getattr(ctx, "master", None)
    return cast("View | None", master.addons.get("view")) if master is not None else None


def focus_on(flow: Flow) -> None:
    """Make a flow of the view the one that `@focus` refers to."""
    view = flow_view()
    if view is not None and view.focus.flow is not flow and flow in view:
        view.focus.flow = flow


def remove(flow: Flow) -> None:
    """Remove a flow from the view."""
    if (view := flow_view()) is not None:
        view.remove([flow])


def update(flow: Flow) -> None:
    """Notify the view that a flow has changed."""
    if (view := flow_view()) is not None:
        view.update([flow])


def limit_log(entries: int) -> None:
    """Keep only the newest entries of the event log, never more than mitmproxy would."""
    events = getattr(ctx, "master", None) and ctx.master.addons.get("eventstore")
    if events is not None:
        events.data = deque(events.data, maxlen=min(entries, events.size or entries))


def shown(flow_id: str) -> Flow | None:
    """Return the flow with this id, or None if it is no longer in the view."""
    view = flow_view()
    return view.get_by_id(flow_id) if view is not None else None
