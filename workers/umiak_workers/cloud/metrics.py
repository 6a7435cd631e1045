"""What the cloud worker counts."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from umiak_workers.cloud.stages import STAGES

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class CloudMetrics:
    """Metrics of one cloud worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.examples = Counter(
            "umiak_cloud_examples", "Hard examples by how they ended", ["outcome"], registry=self.registry
        )
        self.samples = Counter("umiak_cloud_samples", "Samples handed to the hub", ["outcome"], registry=self.registry)
        self.remembered = Counter("umiak_cloud_remembered", "Answers that needed no thinking", registry=self.registry)
        self.masks = Counter("umiak_cloud_masks", "Masks that decided a label", registry=self.registry)
        self._stages = Histogram(
            "umiak_cloud_stage_seconds", "Time by stage", ["stage"], buckets=SECONDS, registry=self.registry
        )
        for stage in STAGES:
            self._stages.labels(stage)
        self.examples.labels("answered")
        for outcome in ("stored", "rejected", "unavailable"):
            self.samples.labels(outcome)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when somebody looks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def took(self, milliseconds: Mapping[str, float]) -> None:
        """The stages of one request."""
        for stage, value in milliseconds.items():
            self._stages.labels(stage).observe(value / 1000)
