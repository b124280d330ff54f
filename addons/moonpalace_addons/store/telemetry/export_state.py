"""The state of a proxy's export, as stored in the row of its run and shown by `mpal doctor`."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ExportState:
    """Numbers of calls since the start; times are in microseconds since the epoch.

    `left_out_since` is when the oldest call that was left out began, `problem` the last reason why calls were not
    exported; it began at `problem_at`, and `is_over` once calls are exported again.
    """

    place: str
    sent: int = 0
    waiting: int = 0
    left_out: int = 0
    left_out_since: int | None = None
    problem: str | None = None
    problem_at: int | None = None
    is_over: bool = True


def written(state: ExportState) -> str:
    """Return a state as text for the row."""
    return json.dumps(asdict(state))


def read(text: str | None) -> ExportState | None:
    """Return the state from a row's text; None for a proxy that exports nothing."""
    try:
        return None if text is None else ExportState(**json.loads(text))
    except (TypeError, ValueError):  # written by a release with other fields
        return None
