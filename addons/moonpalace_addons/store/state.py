"""The states of a call, in a module without imports for the commands that must start fast."""

from enum import StrEnum


class State(StrEnum):
    """The state of a call; every call reaches exactly one of the states after `in_flight`."""

    IN_FLIGHT = "in_flight"
    COMPLETED = "completed"
    CLIENT_DISCONNECTED = "client_disconnected"
    UPSTREAM_FAILED = "upstream_failed"
    TIMED_OUT = "timed_out"
    REPEAT_INTERRUPTED = "repeat_interrupted"
    PROXY_DIED = "proxy_died"
