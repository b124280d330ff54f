"""The state of a call that is watched for silence."""

from dataclasses import dataclass


@dataclass(slots=True)
class Activity:
    """What was last seen to happen on the connections of a call before its answer.

    `at` is in nanoseconds of the monotonic clock; `mark` tells one event from the next.
    """

    at: int
    mark: float | None = None
