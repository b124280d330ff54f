"""The memory of a process, and whether it is flat."""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.bench.wanted import at_most

MOST = 1.05
"""How much more than after the first fifth a process may have at the end: room for noise, not for a leak."""


def resident(pid: int) -> float:
    """Return a process's current memory in megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(taken: Sequence[float]) -> str:
    """Tell what a process has at the end against what it had after the first fifth, when all is loaded and cached."""
    ratio = taken[-1] / taken[len(taken) // 5 - 1]
    return f"{ratio:.3f} x what it had after the first fifth {at_most(ratio, MOST, '')}"
