"""The metrics of calls, summed since the start.

A call costs a few microseconds here; OpenTelemetry's instruments, which support many threads, cost a hundred.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from moonpalace_addons.store.fields import FIELDS, Exchange
from moonpalace_addons.store.telemetry.names import ERROR_TYPE, LABELS, METRICS, Metric
from moonpalace_addons.store.telemetry.operations import EMBEDDINGS
from moonpalace_addons.store.telemetry.spans import Attribute, Attributes, Common

VALUES = attrgetter(*(FIELDS[metric.field].source for metric in METRICS))
"""Returns the measurements of a call, in the order of the metrics."""
MAX_SERIES = 1000
"""Maximum combinations of attributes that are distinguished; clients choose the names of models."""

type Labels = tuple[Attribute | None, ...]
"""A call's values of `LABELS`, followed by the reason of its failure."""

OVERFLOW: Labels = ()
"""The value that replaces all further ones."""
OVERFLOW_ATTRIBUTES: Attributes = {"otel.metric.overflow": True}
"""The attribute of the replaced ones, by OpenTelemetry's specification."""
NAMES = (*LABELS, ERROR_TYPE)


class Series:
    """The measurements of calls with the same attributes; `counts` are those of the buckets."""

    __slots__ = ("_bounds", "_scale", "count", "counts", "least", "most", "sum")

    def __init__(self, metric: Metric) -> None:
        self._bounds, self._scale = metric.bounds, metric.scale
        self.counts = [0] * (len(metric.bounds) + 1)
        self.count = 0
        self.sum = 0.0
        self.least, self.most = math.inf, -math.inf

    def add(self, measured: float) -> None:
        """Add the measurement of a call; a bucket includes its upper bound."""
        value = measured / self._scale
        if value < self.least:
            self.least = value
        if value > self.most:
            self.most = value
        self.count += 1
        self.sum += value
        if self._bounds:
            self.counts[bisect_left(self._bounds, value)] += 1


@dataclass(slots=True)
class Measures:
    """All metrics; not thread-safe."""

    _series: dict[Labels, list[Series]] = field(default_factory=dict)
    """For each combination of attributes, the series of all metrics, some of which may be empty."""
    _known: dict[Common, list[Series | None]] = field(default_factory=dict)

    def add(self, call: Exchange, common: Common) -> None:
        """Add a call; `common` is the part that its span shares with others."""
        for value, series in zip(VALUES(call), self._of(common), strict=True):
            if value is not None and value >= 0 and series is not None:
                series.add(value)

    def _of(self, common: Common) -> list[Series | None]:
        """Return the series that a call belongs to; None for metrics that do not measure it."""
        if (series := self._known.get(common)) is not None:
            return series
        if len(self._known) >= MAX_SERIES:
            self._known.clear()
        attributes = common.attributes
        labels = tuple([attributes.get(name) for name in LABELS])
        own, error = self._with(labels), attributes.get(ERROR_TYPE)
        failed = own if error is None else self._with((*labels, error))
        is_inference = attributes.get("gen_ai.operation.name") != EMBEDDINGS
        series = [
            (failed if metric.has_errors else own)[number] if is_inference or not metric.is_of_inference else None
            for number, metric in enumerate(METRICS)
        ]
        self._known[common] = series
        return series

    def _with(self, labels: Labels) -> list[Series]:
        if labels not in self._series and len(self._series) >= MAX_SERIES:
            labels = OVERFLOW
        return self._series.setdefault(labels, list(map(Series, METRICS)))

    def __iter__(self) -> Iterator[tuple[Metric, Attributes, Series]]:
        """Yield the measurements of each metric, with their attributes."""
        for number, metric in enumerate(METRICS):
            extra = {} if metric.extra is None else dict([metric.extra])
            for labels, series_list in self._series.items():
                if series_list[number].count:
                    yield metric, {**named(labels), **extra}, series_list[number]

    def clear(self) -> None:
        """Reset all metrics."""
        self._series.clear()
        self._known.clear()


def named(labels: Labels) -> Attributes:
    """Return the attributes for the values of labels."""
    if labels == OVERFLOW:
        return OVERFLOW_ATTRIBUTES
    return {name: value for name, value in zip(NAMES, labels, strict=False) if value is not None}
