"""The last activity of a call, for the idle timeout."""

from dataclasses import dataclass


@dataclass(slots=True)
class Activity:
    """The last event on the connections of a call before its answer.

    `at` is in nanoseconds of the monotonic clock; `mark` changes with each event.
    """

    at: int
    mark: float | None = None
