"""The operator's own figures: every look is counted, the queue is read when somebody asks, a taken port is one line."""

import random
import socket
import urllib.request
from collections.abc import Callable

import pytest

from umiak_operators.api.resource import Key, Resource
from umiak_operators.cli.metrics import LOOPBACK, Address, OperatorMetrics, served
from umiak_operators.plan.model import Observed, Plan, Platform
from umiak_operators.reconcile import Pace, Reconciler
from umiak_operators.runtime.memory import ManualClock
from umiak_workers.contract.errors import ConfigError

A, B = (Key("JointInference", "yard", name) for name in ("a", "b"))
GONE = Key("ModelPatch", "yard", "gone")


class World:
    """Two resources; the second one's plan cannot be applied."""

    async def observe(self, key: Key) -> tuple[Resource, Observed] | None:
        return None if key == GONE else (Resource(key, str(key), 1, {}), Observed(Platform({}, {}, {}, b"", ())))

    async def apply(self, resource: Resource, plan: Plan) -> None:
        if resource.key == B:
            raise RuntimeError("not now")

    async def report(self, resource: Resource, status: object) -> None: ...

    async def forget(self, key: Key) -> None: ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


async def test_looks_and_the_queue_are_counted() -> None:
    metrics, clock = OperatorMetrics(), ManualClock(1000.0)
    found = Reconciler(World(), lambda *_: Plan(), clock, random.Random(7), Pace(), metrics.looked)
    metrics.follow(found.queue.waiting, clock.now)
    read: Callable[..., float | None] = metrics.registry.get_sample_value
    assert read("umiak_operator_reconciles_total", {"kind": "ModelPatch", "outcome": "Failed"}) == 0
    for key in (A, B, GONE):
        found.ring(key)
    clock.advance(3)
    assert read("umiak_operator_queue_due") == 3
    assert read("umiak_operator_queue_late_seconds") == 3
    await found.drain()
    for kind, outcome, count in (
        ("JointInference", "Done", 1),
        ("JointInference", "Failed", 1),
        ("ModelPatch", "Gone", 1),
        ("LifelongLearning", "Done", 0),
    ):
        assert read("umiak_operator_reconciles_total", {"kind": kind, "outcome": outcome}) == count
    assert read("umiak_operator_reconcile_seconds_count", {"kind": "JointInference"}) == 2
    assert read("umiak_operator_queue_due") == 0
    assert read("umiak_operator_queue_later") == 2


@pytest.mark.processes
def test_they_are_served_where_asked_for_and_nowhere_else() -> None:
    metrics, port = OperatorMetrics(), free_port()
    with served(metrics, Address(LOOPBACK, port)):
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=10) as answer:
            assert b"umiak_operator_reconciles_total" in answer.read()
        taken = pytest.raises(ConfigError, match=f"--metrics-port: cannot listen at {LOOPBACK}:{port}: Address already")
        with taken, served(metrics, Address(LOOPBACK, port)):
            pass
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
    with served(metrics, None):
        pass
