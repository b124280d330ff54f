"""The metrics of calls, added up since the start.

A call costs a few microseconds here; the instruments of OpenTelemetry, which serve many threads, cost a hundred.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from moonpalace_addons.store.fields import FIELDS, Exchange
from moonpalace_addons.store.telemetry.names import ERROR_TYPE, LABELS, METRICS, Metric
from moonpalace_addons.store.telemetry.operations import EMBEDDINGS
from moonpalace_addons.store.telemetry.spans import Attribute, Attributes

VALUES = attrgetter(*(FIELDS[metric.field].source for metric in METRICS))
"""Gets what is measured of a call, in the order of the metrics."""
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

    _series: dict[Labels, list[Series]] = field(default_factory=dict)
    """For each combination of attributes the series of all metrics, of which some may be empty."""

    def add(self, call: Exchange, attributes: Attributes) -> None:
        """Add a call with the attributes of its span."""
        labels = tuple([(name, attributes[name]) for name in LABELS if name in attributes])
        own = self._of(labels)
        failed = self._of((*labels, (ERROR_TYPE, attributes[ERROR_TYPE]))) if ERROR_TYPE in attributes else own
        is_inference = attributes.get("gen_ai.operation.name") != EMBEDDINGS
        for number, (metric, value) in enumerate(zip(METRICS, VALUES(call), strict=True)):
            if value is not None and value >= 0 and (is_inference or not metric.is_of_inference):
                (failed if metric.has_errors else own)[number].add(value / metric.scale, metric.bounds)

    def _of(self, labels: Labels) -> list[Series]:
        if (found := self._series.get(labels)) is not None:
            return found
        if len(self._series) >= MAX_SERIES:
            labels = OVERFLOW
        return self._series.setdefault(labels, [Series([0] * (len(metric.bounds) + 1)) for metric in METRICS])

    def __iter__(self) -> Iterator[tuple[Metric, Attributes, Series]]:
        """Yield what has been measured of each metric, with its attributes."""
        for number, metric in enumerate(METRICS):
            for labels, kept in self._series.items():
                if kept[number].count:
                    extra = () if metric.extra is None else (metric.extra,)
                    yield metric, dict((*labels, *extra)), kept[number]

    def clear(self) -> None:
        """Begin at nothing."""
        self._series.clear()
