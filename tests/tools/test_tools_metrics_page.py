"""The reference of metrics names every family that our processes export, and no other; all under one prefix."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from umiak_operators.cli.metrics import OperatorMetrics
from umiak_operators.runtime.memory import ManualClock
from umiak_workers.cloud.app import Cloud, build
from umiak_workers.cloud.metrics import CloudMetrics
from umiak_workers.contract.config import HubConfig
from umiak_workers.edge.metrics import EdgeMetrics
from umiak_workers.edge.pool import Pool
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.metrics import HubCollector
from umiak_workers.hub.traffic import Traffic
from umiak_workers.router.metrics import RouterMetrics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"
WATCHED = re.compile(r'metrics\.watch\("(\w+)"')
"""The cloud's gauges that are read when somebody looks."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    found = Hub(HubConfig(trusted_keys=("A" * 43 + "=",)), tmp_path, lambda: 0.0)
    found.start()
    yield found
    found.close()


def of_hub(hub: Hub) -> list[Metric]:
    registry = CollectorRegistry()
    registry.register(HubCollector(hub))
    Traffic(lambda *_: None, registry)  # type: ignore[arg-type, return-value]
    return list(registry.collect())


def of_operator() -> list[Metric]:
    metrics = OperatorMetrics()
    metrics.follow(dict, ManualClock(0.0).now)
    return list(metrics.registry.collect())


def of_edge() -> list[Metric]:
    pool = Pool(1, 1)
    metrics = EdgeMetrics(pool)
    metrics.serves("yard/yard", lambda: None)
    pool.close()
    return list(metrics.registry.collect())


def test_the_reference_has_every_family_and_no_other(hub: Hub) -> None:
    cloud = list(CloudMetrics().registry.collect())
    families = [*of_hub(hub), *of_operator(), *of_edge(), *RouterMetrics().registry.collect(), *cloud]
    names = {_sampled(family) for family in families}
    names |= set(WATCHED.findall(Path(build.__code__.co_filename).read_text()))
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)) == names
    assert all(name.startswith("umiak_") for name in names)
    assert Cloud.__annotations__["metrics"], "the cloud's app holds them"


def _sampled(family: Metric) -> str:
    """The name that a query uses."""
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
