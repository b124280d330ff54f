"""The metrics of calls, added up since the start.

A call costs a few microseconds here; the instruments of OpenTelemetry, which serve many threads, cost a hundred.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from moonpalace_addons.store.fields import FIELDS, Exchange
from moonpalace_addons.store.telemetry.names import ERROR_TYPE, LABELS, METRICS, Metric
from moonpalace_addons.store.telemetry.operations import EMBEDDINGS
from moonpalace_addons.store.telemetry.spans import Attribute, Attributes

MAX_SERIES = 1000
"""Combinations of attributes that are told apart; clients choose the names of models."""

type Labels = tuple[tuple[str, Attribute], ...]

OVERFLOW: Labels = (("otel.metric.overflow", True),)
"""The attribute of all further ones, as OpenTelemetry has it."""


@dataclass(slots=True)
class Series:
    """What has been measured of calls with the same attributes; `counts` are those of the buckets."""

    counts: list[int]
    count: int = 0
    sum: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def add(self, value: float, bounds: tuple[float, ...]) -> None:
        """Add a value; a bucket includes its upper bound."""
        self.least = value if not self.count else min(self.least, value)
        self.most = value if not self.count else max(self.most, value)
        self.count += 1
        self.sum += value
        if bounds:
            self.counts[bisect_left(bounds, value)] += 1


@dataclass(slots=True)
class Measures:
    """All metrics; not thread-safe."""

    _series: list[dict[Labels, Series]] = field(default_factory=lambda: [{} for _ in METRICS])
    """The series of each metric of the table."""

    def add(self, call: Exchange, attributes: Attributes) -> None:
        """Add a call with the attributes of its span."""
        labels = tuple((name, attributes[name]) for name in LABELS if name in attributes)
        failed = (*labels, (ERROR_TYPE, attributes[ERROR_TYPE])) if ERROR_TYPE in attributes else labels
        is_inference = attributes.get("gen_ai.operation.name") != EMBEDDINGS
        for metric, kept in zip(METRICS, self._series, strict=True):
            value = FIELDS[metric.field].of(call)
            if isinstance(value, int) and value >= 0 and (is_inference or not metric.is_of_inference):
                series_of(kept, failed if metric.has_errors else labels, metric).add(
                    value / metric.scale, metric.bounds
                )

    def __iter__(self) -> Iterator[tuple[Metric, Attributes, Series]]:
        """Yield what has been measured of each metric, with its attributes."""
        for metric, kept in zip(METRICS, self._series, strict=True):
            for labels, series in kept.items():
                extra = () if metric.extra is None else (metric.extra,)
                yield metric, dict((*labels, *extra)), series

    def clear(self) -> None:
        """Begin at nothing."""
        for kept in self._series:
            kept.clear()


def series_of(kept: dict[Labels, Series], labels: Labels, metric: Metric) -> Series:
    """Return the series with these labels, a new one if there is none yet."""
    if labels not in kept and len(kept) >= MAX_SERIES:
        labels = OVERFLOW
    if (series := kept.get(labels)) is None:
        series = kept[labels] = Series([0] * (len(metric.bounds) + 1))
    return series
