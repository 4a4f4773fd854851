"""Figures as the SDK's values.

The SDK's instruments keep each set of attributes that they ever met, so months of sites would fill the memory. So the
exporters get the values that an instrument would have made of this moment alone.
"""

from __future__ import annotations

from typing import Union

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tracer import __version__
from tracer.reports.figures import names
from tracer.reports.figures.figures import Figure

SCOPE = InstrumentationScope("closetrace", __version__)
_NOT_SENT = (names.BUILD,)
"""The resource has the version."""


def metrics_data(figures: tuple[Figure, ...], resource: Resource, started_ns: int, now_ns: int) -> MetricsData:
    """All figures at ``now_ns``; totals have grown since ``started_ns`` (both since the epoch)."""
    points: dict[names.Metric, list[NumberDataPoint]] = {}
    for metric, values, value in figures:
        attributes = {one.attribute: text for one, text in zip(metric.labels, values) if text}
        point = NumberDataPoint(attributes, started_ns if metric.total else now_ns, now_ns, value)
        points.setdefault(metric, []).append(point)
    metrics = [_metric(metric, several) for metric, several in points.items() if metric not in _NOT_SENT]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(SCOPE, metrics, "")], "")])


def _metric(metric: names.Metric, points: list[NumberDataPoint]) -> Metric:
    data: Union[Sum, Gauge] = Gauge(points)
    if metric.total:
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Metric(metric.name, metric.help, metric.unit, data)
