"""Where a call can stand: apart from all else, so that the quick commands need import nothing more for it."""

from enum import StrEnum


class State(StrEnum):
    """Where a call stands; every call reaches exactly one of the states after `in_flight`."""

    IN_FLIGHT = "in_flight"
    COMPLETED = "completed"
    CLIENT_DISCONNECTED = "client_disconnected"
    UPSTREAM_FAILED = "upstream_failed"
    TIMED_OUT = "timed_out"
    REPEAT_INTERRUPTED = "repeat_interrupted"
    PROXY_DIED = "proxy_died"
