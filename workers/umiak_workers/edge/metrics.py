"""What the edge server counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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

    def answered(self, route: str, milliseconds: float) -> None:
        """One photo was answered."""
        self.answers.labels(route).inc()
        self.inference.observe(milliseconds / 1000)
