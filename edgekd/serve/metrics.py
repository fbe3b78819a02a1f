"""What Prometheus is told: counts and times, nothing of any picture or person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from edgekd.serve.pool import Pool

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The service's own registry, so that two services in one process do not add up."""

    def __init__(self, pool: Pool, held_bytes: Callable[[], int], model: Mapping[str, str]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "edgekd_requests",
            "Answers given, by route and status (429: the queue was full).",
            ("route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "edgekd_request_seconds",
            "From the head of a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "edgekd_stage_seconds",
            "Where an answered picture spent its time: receive, queue, decode, prepare, infer.",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_State(pool, held_bytes, model))
        # Looking a label up takes longer than counting.
        self._count = cache(lambda route, status: self._requests.labels(route, str(status)).inc)
        self._route = cache(lambda route: self._seconds.labels(route).observe)
        self._stage = cache(lambda stage: self._stages.labels(stage).observe)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._count(route, status)()
        self._route(route)(seconds)

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Count where one picture spent its time."""
        for stage, spent in seconds.items():
            self._stage(stage)(spent)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)


class _State(Collector):
    """What is asked at the moment of reading."""

    def __init__(self, pool: Pool, held_bytes: Callable[[], int], model: Mapping[str, str]) -> None:
        self._pool, self._held_bytes, self._model = pool, held_bytes, model

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily]:
        gauges = {
            "edgekd_queue_waiting": ("Uploads that wait for a worker.", self._pool.waiting),
            "edgekd_workers": ("Workers that are ready or at work.", self._pool.living),
            "edgekd_held_bytes": ("Bytes of uploads in memory.", self._held_bytes()),
        }
        for name, (meaning, value) in gauges.items():
            yield GaugeMetricFamily(name, meaning, value=value)
        restarts = CounterMetricFamily(
            "edgekd_worker_restarts", "Workers that ended and were replaced, by cause.", labels=["cause"]
        )
        for cause, count in self._pool.restarts.items():
            restarts.add_metric([cause], count)
        yield restarts
        yield InfoMetricFamily("edgekd_model", "The model that answers.", value=dict(self._model))
