"""What a call under way can be waiting for."""

from enum import Enum, auto


class Phase(Enum):
    """The stages of a call, in their order."""

    REQUEST = auto()
    ANSWER = auto()
    STREAM = auto()
    WHOLE = auto()
    ENDING = auto()
    OVER = auto()
