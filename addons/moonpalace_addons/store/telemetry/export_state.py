"""How the export of a proxy stands, as the row of its run has it and `mpal doctor` shows it."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ExportState:
    """Numbers of calls since the start; moments are in microseconds since the epoch.

    `left_out_since` is the beginning of the oldest call that was left out, `problem` the last reason why calls were not
    exported, from `problem_at` on, until it `is_over`.
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
    """Return a state as the row has it."""
    return json.dumps(asdict(state))


def read(text: str | None) -> ExportState | None:
    """Return the state that a row has, None for a proxy that exports nothing."""
    try:
        return None if text is None else ExportState(**json.loads(text))
    except (TypeError, ValueError):  # of a release that counts something else
        return None
