"""A small world to plan in: an installation, nodes, and resources that are cheap to vary."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from umiak_operators.api.resource import Key, Resource
from umiak_operators.plan.model import Node, Observed, Platform
from umiak_workers.contract.fleet import FleetView, LineView, Owner, ReplayView
from umiak_workers.contract.messages import RoundReport


def digest(mark: int) -> str:
    return f"sha256:{mark:064x}"


class World:
    """Values that most tests start from, and short ways to vary them."""

    platform = Platform(
        images={role: f"umiak/{role}:1" for role in ("edge", "cloud", "trainer", "hub", "signer")},
        endpoints={"umiak://hub": "https://gate.test", "umiak://broker": "mqtts://gate.test"},
        inside={"umiak://hub": "http://umiak-hub.umiak-system.svc:8800"},
        operator_key=b"0123456789abcdef",
        trusted_keys=("a2V5",),
        state_volume="persistentVolumeClaim",
    )
    nodes = tuple(Node(name, {"zone": "a"}) for name in ("n1", "n2"))

    digest = staticmethod(digest)

    def joint(self, name: str = "yard", created: str = "2026-01-01T00:00:00Z", **spec: Any) -> Resource:
        """A JointInference; keywords replace parts of its spec, None removes one."""
        whole: dict[str, Any] = {
            "edge": {
                "model": {"line": "scene", "uri": "builtin:scene", "digest": digest(1)},
                "nodes": {"matchLabels": {"zone": "a"}},
                "source": {"http": {}},
            },
            "cloud": {"sam": {"uri": "builtin:sam", "digest": digest(90)}},
            "hardExamples": {"miners": [{"miner": "ScoreMargin", "budget": 0.2}]},
        }
        kept = {key: value for key, value in {**whole, **spec}.items() if value is not None}
        return Resource(Key("JointInference", "site", name), f"uid-{name}", 1, kept, created=created)

    def edge(self, **parts: Any) -> dict[str, Any]:
        """The `edge` part of a spec with some of its parts replaced."""
        return {**self.joint().spec["edge"], **parts}

    def learning(self, **spec: Any) -> Resource:
        """A LifelongLearning of the JointInference `yard`."""
        whole = {"jointInferenceRef": {"name": "yard"}, "baseData": {"uri": "yard:day"}, "trigger": {"samples": 100}}
        return Resource(Key("LifelongLearning", "site", "learn"), "uid-learn", 1, {**whole, **spec})

    def patch(self, status: Mapping[str, Any] | None = None) -> Resource:
        """A ModelPatch from digest 1 to digest 2."""
        spec = {"model": {"line": "scene", "from": digest(1), "to": digest(2)}}
        return Resource(Key("ModelPatch", "site", "step"), "uid-step", 1, spec, status or {})

    def seen(self, **parts: Any) -> Observed:
        """An Observed with two matching nodes and nothing else."""
        return replace(Observed(self.platform, nodes=self.nodes), **parts)

    def view(self, resource: Resource, **parts: Any) -> FleetView:
        """The hub's view of a resource."""
        key = resource.key
        owner = Owner(kind=key.kind, namespace=key.namespace, name=key.name, uid=resource.uid)
        return FleetView(owner=owner, **parts)

    def learning_view(self, head: int | None, watermark: int, *rounds: RoundReport) -> FleetView:
        """The hub's view of the LifelongLearning."""
        line = LineView(line="site/scene", digest=None if head is None else digest(head), sequence=1)
        return self.view(self.learning(), line=line, replay=ReplayView(watermark=watermark), rounds=rounds)

    def report(self, outcome: str, base: int, watermark: int, candidate: int | None = None, name: str = "r") -> Any:
        """What a training Job left at the hub."""
        return RoundReport(
            round=name,
            outcome=outcome,  # type: ignore[arg-type]
            reason="BecauseOfTest",
            message="in a test",
            base=digest(base),
            candidate=None if candidate is None else digest(candidate),
            watermark=watermark,
            samples=watermark,
            metrics={"gain": 0.1},
            finished_at=1000.0 + watermark,
        )


@pytest.fixture(scope="session")
def world() -> World:
    return World()


def files_of(secret: Mapping[str, Any]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


@pytest.fixture
def files() -> Callable[[Mapping[str, Any]], dict[str, bytes]]:
    """Content of a Secret."""
    return files_of


@pytest.fixture
def pick() -> Callable[[Any, str, str], Any]:
    """The child of that kind and name, or None."""

    def choose(plan: Any, kind: str, name: str) -> Any:
        found = [item for item in plan.children if (item["kind"], item["metadata"]["name"]) == (kind, name)]
        assert len(found) <= 1, json.dumps([item["metadata"] for item in found])
        return found[0] if found else None

    return choose


@pytest.fixture
def condition() -> Callable[[Any, str], tuple[str, str]]:
    """(status, reason) of a condition in a plan's status."""

    def look(plan: Any, kind: str) -> tuple[str, str]:
        (found,) = [item for item in plan.status["conditions"] if item["type"] == kind]
        return found["status"], found["reason"]

    return look
