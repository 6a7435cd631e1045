"""The operator in figures: how often it looked at something, how that ended, how long it took, what waits.

Served only when asked for (`--metrics-port`), by a small listener with a thread of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from umiak_operators.api.resource import PLURALS, Key
from umiak_operators.reconcile import Outcome
from umiak_workers.contract.errors import ConfigError

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """Where figures are served."""

    host: str
    port: int


class OperatorMetrics:
    """Metrics of one operator, in a registry of its own; every label value is known beforehand."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._looks = Counter(
            "umiak_operator_reconciles",
            "Looks at a resource by how they ended",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "umiak_operator_reconcile_seconds", "Time of one look", ["kind"], buckets=SECONDS, registry=self.registry
        )
        for kind in PLURALS:
            self._seconds.labels(kind)
            for outcome in get_args(Outcome):
                self._looks.labels(kind, outcome)

    def looked(self, key: Key, outcome: Outcome, seconds: float) -> None:
        """One look has ended."""
        self._looks.labels(key.kind, outcome).inc()
        self._seconds.labels(key.kind).observe(seconds)

    def follow(self, waiting: Callable[[], Mapping[Key, float]], now: Callable[[], float]) -> None:
        """Read the queue whenever somebody looks: keys with the moment at which they are due."""
        self.registry.register(_Waiting(waiting, now))


class _Waiting(Collector):
    """The queue, split into what is due and what waits for its moment."""

    def __init__(self, waiting: Callable[[], Mapping[Key, float]], now: Callable[[], float]) -> None:
        self._waiting = waiting
        self._now = now

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """How many are due and for how long, how many wait."""
        now, moments = self._now(), list(self._waiting().values())
        due = [moment for moment in moments if moment <= now]
        yield GaugeMetricFamily("umiak_operator_queue_due", "Resources that should be looked at now", value=len(due))
        yield GaugeMetricFamily(
            "umiak_operator_queue_later", "Resources that wait for their moment", value=len(moments) - len(due)
        )
        yield GaugeMetricFamily(
            "umiak_operator_queue_late_seconds",
            "How long the first of those due has waited",
            value=max((now - moment for moment in due), default=0.0),
        )


@contextmanager
def served(metrics: OperatorMetrics, address: Address | None) -> Iterator[None]:
    """Serve /metrics at an address (None: nowhere); raises ConfigError when it cannot listen there."""
    if address is None:
        yield
        return
    try:
        server, thread = start_http_server(address.port, address.host, metrics.registry)
    except OSError as error:
        where = f"{address.host}:{address.port}"
        raise ConfigError(f"--metrics-port: cannot listen at {where}: {error.strerror or error}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
