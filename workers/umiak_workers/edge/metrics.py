"""What the edge server counts."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from umiak_workers.edge.pool import Pool

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class EdgeMetrics:
    """Metrics of one edge server, in a registry of its own."""

    def __init__(self, pool: Pool) -> None:
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "umiak_edge_answers", "Photos answered by the model server", ["route"], registry=self.registry
        )
        self.inference = Histogram(
            "umiak_edge_inference_seconds", "Time in the model", buckets=SECONDS, registry=self.registry
        )
        self.reloads = Counter("umiak_edge_reloads", "Model swaps asked for", ["outcome"], registry=self.registry)
        waiting = Gauge("umiak_edge_pending", "Requests that run or wait for the model", registry=self.registry)
        waiting.set_function(lambda: pool.pending)

    def serves(self, line: str, active: Callable[[], str | None]) -> None:
        """Say which model is in use whenever somebody looks; `active` gives its digest, None while there is none."""
        self.registry.register(_InUse(line, active))

    def answered(self, route: str, milliseconds: float) -> None:
        """One photo was answered."""
        self.answers.labels(route).inc()
        self.inference.observe(milliseconds / 1000)


class _InUse(Collector):
    """One info series: the digest changes, the number of series does not."""

    def __init__(self, line: str, active: Callable[[], str | None]) -> None:
        self._line = line
        self._active = active

    def collect(self) -> Iterator[Metric]:
        """The model in use, nothing while there is none."""
        found = InfoMetricFamily("umiak_edge_model", "The model in use", labels=["line", "digest"])
        if digest := self._active():
            found.add_metric([self._line, digest], {})
        yield found
