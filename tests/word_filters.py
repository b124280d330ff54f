"""Filters of words, made at once."""

from collections.abc import Generator

from moonpalace_addons.wire.word_filter import FilterBuilder

NUMBER = 5


def filtered(*bodies: str, number: int = NUMBER) -> bytes:
    """Return the filter of these bodies."""
    builder = FilterBuilder(number)
    for body in bodies:
        for _ in builder.add(body):
            pass
    return result(builder.build())


def result[T](steps: Generator[None, None, T]) -> T:
    """Return the return value of a generator."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            found: T = ended.value
            return found
