"""Make OpenTelemetry's metrics from measurements."""

from collections.abc import Iterable
from itertools import groupby

from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from moonpalace_addons.store.telemetry.measures import Measures, Series
from moonpalace_addons.store.telemetry.names import Metric
from moonpalace_addons.store.telemetry.spans import Attributes

type Measured = tuple[Metric, Attributes, Series]


def metrics_data(
    measures: Measures, resource: Resource, scope: InstrumentationScope, times: tuple[int, int], *, is_delta: bool
) -> export.MetricsData:
    """Return all metrics, measured between the two times in nanoseconds since the epoch."""
    temporality = export.AggregationTemporality.DELTA if is_delta else export.AggregationTemporality.CUMULATIVE
    metrics = [
        as_metric(list(measured), times, temporality)
        for _, measured in groupby(measures, key=lambda measured: measured[0].name)
    ]
    return export.MetricsData([export.ResourceMetrics(resource, [export.ScopeMetrics(scope, metrics, "")], "")])


def as_metric(
    measured: list[Measured], times: tuple[int, int], temporality: export.AggregationTemporality
) -> export.Metric:
    """Return the metric of these series: a histogram if it has buckets, else a monotonic sum."""
    metric, _, _ = measured[0]
    data: export.Histogram | export.Sum
    if metric.bounds:
        data = export.Histogram(list(histogram_points(measured, times)), temporality)
    else:
        points = [export.NumberDataPoint(attributes, *times, int(series.sum)) for _, attributes, series in measured]
        data = export.Sum(points, temporality, is_monotonic=True)
    return export.Metric(metric.name, metric.meaning, metric.unit, data)


def histogram_points(measured: list[Measured], times: tuple[int, int]) -> Iterable[export.HistogramDataPoint]:
    """Yield a point for each series."""
    for metric, attributes, series in measured:
        yield export.HistogramDataPoint(
            attributes,
            *times,
            count=series.count,
            sum=series.sum,
            bucket_counts=tuple(series.counts),
            explicit_bounds=metric.bounds,
            min=series.least,
            max=series.most,
        )
