"""When the chunks of an answer arrived."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload


class Arrivals(Sequence[tuple[int, int]]):
    """For each chunk of an answer, the offset after it and its time of arrival.

    A list of tuples takes seven times the memory, which for tiny chunks is more than the answer itself.
    """

    __slots__ = ("offsets", "times")

    def __init__(self, offsets: Iterable[int] = (), times: Iterable[int] = ()) -> None:
        self.offsets = array("q", offsets)
        self.times = array("q", times)

    def append(self, offset: int, at: int) -> None:
        """Add a chunk."""
        self.offsets.append(offset)
        self.times.append(at)

    def extend(self, offsets: Iterable[int], times: Iterable[int]) -> None:
        """Add chunks."""
        self.offsets.extend(offsets)
        self.times.extend(times)

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over the chunks."""
        return zip(self.offsets, self.times, strict=True)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> "Arrivals": ...
    def __getitem__(self, index: int | slice) -> "tuple[int, int] | Arrivals":
        """Return one chunk, or some of them."""
        if isinstance(index, slice):
            return Arrivals(self.offsets[index], self.times[index])
        return self.offsets[index], self.times[index]

    def __eq__(self, other: object) -> bool:
        """Return whether other chunks have the same offsets and times."""
        return isinstance(other, Sequence) and [*self] == [*other]
