"""The hub in figures, read from its books when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from umiak_workers.contract.errors import Unavailable
from umiak_workers.hub import fleet_metrics, lines, replay, tables
from umiak_workers.hub.hub import Hub


class HubCollector(Collector):
    """The hub's own figures, and those of `fleet_metrics`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: registering must not open the database."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """What is kept, how full the state is, who reports."""
        known, reporting = self._hub.reports.counts(self._hub.now())
        yield _gauge("umiak_hub_edges_known", "Edges that were ever heard of", known)
        yield _gauge("umiak_hub_edges_reporting", "Edges heard of within the silence limit", reporting)
        yield _gauge("umiak_hub_state_bytes", "Bytes of blobs and samples kept", self._hub.room.used)
        yield _gauge("umiak_hub_state_limit_bytes", "Most bytes of blobs and samples", self._hub.room.most)
        try:
            yield from self._books()
        except Unavailable:
            yield _gauge("umiak_hub_database_up", "Whether the database answered", 0)

    def _books(self) -> Iterator[Metric]:
        with self._hub.database.read() as sql:
            yield from fleet_metrics.collect(self._hub, sql)
            samples, size = replay.totals(sql)
            unfinished = lines.count_unfinished(sql)
            counts = {
                name: sql.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in (("owners", tables.owners), ("lines", tables.lines), ("models", tables.models))
            }
        yield _gauge("umiak_hub_database_up", "Whether the database answered", 1)
        yield _gauge("umiak_hub_replay_samples", "Samples kept", samples)
        yield _gauge("umiak_hub_replay_bytes", "Bytes of samples kept", size)
        yield _gauge("umiak_hub_releases_unfinished", "Releases under way", unfinished)
        for name, count in counts.items():
            yield _gauge(f"umiak_hub_{name}", f"Number of {name} held", count)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
