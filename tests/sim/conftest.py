"""The operator's own code over twins of API server and hub: seconds of fleet life in milliseconds."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog.testing

from umiak_operators import handlers
from umiak_operators.api.resource import PLURALS, Key
from umiak_operators.plan.desired import desired
from umiak_operators.plan.model import Platform
from umiak_operators.reconcile import Pace, Reconciler
from umiak_operators.runtime.cluster.index import Index
from umiak_operators.runtime.cluster.runtime import Cluster, World
from umiak_operators.runtime.memory import ManualClock, MemoryServer
from umiak_operators.runtime.memory_hub import MemoryHub
from umiak_workers.contract.messages import RoundReport

DIGESTS = [f"sha256:{number:064x}" for number in range(16)]
PLATFORM = Platform(
    images={role: f"umiak/{role}:dev" for role in ("operator", "edge", "cloud", "trainer", "hub", "signer")},
    endpoints={"umiak://hub": "https://gate.test", "umiak://broker": "mqtts://gate.test"},
    inside={},
    operator_key=bytes(32),
    trusted_keys=("a2V5",),
    state_volume="persistentVolumeClaim",
)


@dataclass
class Fleet:
    """A cluster, a hub and an operator, all in memory."""

    clock: ManualClock
    server: MemoryServer
    hub: MemoryHub
    seed: int
    cluster: Any = None
    reconciler: Any = None

    def restart(self) -> None:
        """A new operator process: nothing remembered, everything listed again."""
        index = Index()
        world = World(self.server, index, PLATFORM, self.hub, self.clock, lambda key: self.reconciler.ring(key))
        self.cluster = Cluster(world, refresh_seconds=600)
        self.reconciler = Reconciler(self.cluster, desired, self.clock, random.Random(self.seed), Pace(workers=1))
        self._bell = handlers.Bell(index, self.reconciler.ring, self.clock, None)  # type: ignore[arg-type]
        for kind in ("Namespace", "Node", *PLURALS, "Deployment", "Job", "Secret", "Service", "PersistentVolumeClaim"):
            for body in self.server.objects(kind):
                self.told(kind, body, False)

    def told(self, kind: str, body: dict[str, Any], gone: bool) -> None:
        """A watch event, as handlers take it."""
        if self.cluster is None:
            return
        rung = handlers.lost(self._bell.index, kind, body) if gone else handlers.saw(self._bell, kind, body)
        for key in rung:
            self.reconciler.ring(key)

    def uid_changed(self, uid: str) -> None:
        """A ring from the hub."""
        for resource in self._bell.index.owners() if self.cluster else ():
            if resource.uid == uid:
                self.reconciler.ring(resource.key)

    async def settle(self, pods: bool = True, edges: bool = True) -> None:
        """Let operator, controllers and edges work until four minutes have passed in which nothing changed."""
        calm = 0
        for _ in range(200):
            before = len(self.server.writes)
            await self.reconciler.drain()
            moved = (self.server.run_pods() if pods else 0) + (self.hub.update_edges(self.clock.now()) if edges else 0)
            calm = 0 if moved or len(self.server.writes) > before else calm + 1
            if calm > 4:
                return
            self.clock.advance(60)
        pytest.fail(f"does not settle (seed {self.seed}); last writes: {self.server.writes[-20:]}")

    def node(self, name: str, **labels: str) -> None:
        """A node."""
        self.server.put({"kind": "Node", "metadata": {"name": name, "labels": labels}, "status": {}})

    def joint(self, name: str = "yard", **changes: Any) -> None:
        """A JointInference; `changes` replace parts of its spec."""
        spec = {
            "edge": {
                "model": {"line": name, "uri": "builtin:yard-edge", "digest": DIGESTS[1]},
                "nodes": {"matchLabels": {"site": "yard"}},
                "source": {"http": {}},
            },
            "cloud": {"labeller": {"uri": "builtin:yard-labeller", "digest": DIGESTS[2]}},
            "hardExamples": {"miners": [{"miner": "ScoreMargin", "budget": 0.3}]},
        }
        self.put("JointInference", name, {**spec, **changes})

    def put(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """A custom resource in namespace `site`."""
        meta = {"name": name, "namespace": "site"}
        self.server.put({"apiVersion": "umiak.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec})

    def condition(self, kind: str, name: str, of: str = "Ready") -> tuple[str, str]:
        """(status, reason) of a condition."""
        body = next(item for item in self.server.objects(kind) if item["metadata"]["name"] == name)
        found = next((item for item in body.get("status", {}).get("conditions", ()) if item["type"] == of), None)
        return (found["status"], found["reason"]) if found else ("", "")

    def report(self, learning: str, round_name: str, base: str, candidate: str | None, watermark: int) -> None:
        """A training Job's report."""
        self.hub.report_round(
            f"site/{learning}",
            RoundReport(
                round=round_name,
                outcome="Promoted" if candidate else "Refused",
                reason="Gain",
                message="",
                base=base,
                candidate=candidate,
                watermark=watermark,
                samples=watermark,
                finished_at=self.clock.now(),
            ),
        )

    def key(self, kind: Any, name: str) -> Key:
        """A key in namespace `site`."""
        return Key(kind, "site", name)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of log lines help nobody here."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def make_fleet() -> Callable[[int], Fleet]:
    """Makes a fleet of two edge nodes and one other, for a seed."""

    def make(seed: int) -> Fleet:
        clock = ManualClock()
        box: list[Fleet] = []
        server = MemoryServer(clock, lambda kind, body, gone: box[0].told(kind, body, gone) if box else None)
        fleet = Fleet(clock, server, MemoryHub(lambda uid: box[0].uid_changed(uid) if box else None), seed)
        box.append(fleet)
        server.put({"kind": "Namespace", "metadata": {"name": "site", "labels": {}}})
        for name in ("e1", "e2"):
            fleet.node(name, site="yard")
        fleet.node("c1")
        fleet.restart()
        return fleet

    return make


@pytest.fixture
def fleet(make_fleet: Callable[[int], Fleet]) -> Fleet:
    """One such fleet."""
    return make_fleet(0)
