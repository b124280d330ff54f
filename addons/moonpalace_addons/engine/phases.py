"""Phases of a call in progress."""

from enum import Enum, auto


class Phase(Enum):
    """The phases of a call, in order; an answer is either streamed or collected."""

    REQUEST = auto()
    RESPONSE_HEAD = auto()
    STREAM = auto()
    BUFFERED = auto()
    ENDING = auto()
    OVER = auto()
