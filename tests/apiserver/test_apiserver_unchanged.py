"""What any builder makes is stored as asked for: applied once, then compared as unchanged, so nothing is written again.

No operator runs here: the applier itself is given plans for every way in which builders can be told to build.
"""

from collections.abc import AsyncIterator
from typing import Any

import control_plane
import pytest
from apiserver_kit import DIGESTS, Kube, custom, joint_inference, path
from kubernetes.client import ApiClient
from kubernetes.config import new_client_from_config

from umiak_operators.api.resource import Resource
from umiak_operators.plan.desired import desired
from umiak_operators.plan.model import Node, Observed, Plan, Platform
from umiak_operators.plan.owner import owner_of
from umiak_operators.plan.platform import platform_objects
from umiak_operators.runtime.clock import SystemClock
from umiak_operators.runtime.cluster.api import Api, Timeouts
from umiak_operators.runtime.cluster.applier import Applier
from umiak_operators.runtime.cluster.index import Index
from umiak_workers.contract.fleet import FleetView, LineView, ReplayView
from umiak_workers.contract.messages import RoundReport

KEY = bytes(range(32))


def platform(volume: Any, **changes: Any) -> Platform:
    outside = {"umiak://hub": "https://gate.test", "umiak://broker": "mqtts://gate.test"}
    images = {role: f"umiak/{role}:dev" for role in ("operator", "edge", "cloud", "trainer", "hub", "signer")}
    return Platform(images, outside, {}, KEY, ("a2V5",), state_volume=volume, **changes)


def seen(volume: Any, *related: Resource, fleet: FleetView | None = None, **changes: Any) -> Observed:
    nodes = (
        Node("edge-1", {"site": "yard"}),
        Node("edge.with.dots.and-a-name-longer-than-a-label-may-be", {"site": "yard"}),
    )
    labels = {"umiak.dev/host-path": "allowed"}
    return Observed(platform(volume, **changes), related=related, nodes=nodes, namespace_labels=labels, fleet=fleet)


def stored(kube: Kube, body: dict[str, Any], plural: str) -> Resource:
    """The resource as the API server keeps it, defaults and uid included."""
    kube.apply(body)
    live = kube.get(path(plural, body["metadata"]["namespace"], body["metadata"]["name"]))
    assert live is not None
    return Resource.from_body(live)


FULL = {
    "cloud": {
        "replicas": 2,
        "sam": {"uri": "builtin:sam", "digest": DIGESTS[5]},
        "labeller": {"uri": "builtin:labeller", "digest": DIGESTS[6]},
        "fusion": {"vote": "majority", "minimumArea": 5, "margin": 0.25, "prompts": 8, "minimumQuality": 0.5},
        "batch": 4,
        "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 2, "memory": "2048Mi"}},
    },
    "edge": {
        "model": {"line": "yard", "uri": "builtin:yard-edge", "digest": DIGESTS[1]},
        "nodes": {"matchLabels": {"site": "yard"}},
        "source": {"directory": {"path": "photos"}},
        "runtime": {
            "threads": 2,
            "resources": {"requests": {"cpu": "1000m", "memory": "0.5Gi"}, "limits": {"cpu": "1.5"}},
        },
    },
    "hardExamples": {"miners": [{"miner": "Random", "budget": 0.1}, {"miner": "ScoreMargin", "threshold": 0.4}]},
}
DEVICE = {"path": "/dev/video0", "resource": "smarter-devices/video0"}
FILMING = {"edge": {**FULL["edge"], "source": {"video": {"device": DEVICE, "framesPerSecond": 2.5}}}}
STREAMING = {"edge": {**FULL["edge"], "source": {"video": {"uri": "rtsp://{edge}/1", "credentialsSecret": "camera"}}}}
MINIMAL = {"cloud": None, "hardExamples": {"miners": [{"miner": "EdgeOnly"}]}}


def joint(kube: Kube, namespace: str, spec: dict[str, Any]) -> Resource:
    body = joint_inference(namespace, **spec)
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    return stored(kube, body, "jointinferences")


def plan_of_joint(kube: Kube, namespace: str, spec: dict[str, Any], volume: str) -> tuple[Resource, Plan]:
    resource = joint(kube, namespace, spec)
    return resource, desired(resource, seen(volume), 0.0)


def plan_of_learning(kube: Kube, namespace: str, *rounds: RoundReport) -> tuple[Resource, Plan]:
    spec = {"jointInferenceRef": {"name": "yard"}, "baseData": {"uri": "yard:base"}, "trigger": {"samples": 5}}
    fit = {"fit": {"learningRate": 0.0005, "seconds": 30}}
    resource = stored(kube, custom("LifelongLearning", namespace, "learn", {**spec, **fit}), "lifelonglearnings")
    line = LineView(line=f"{namespace}/yard", digest=DIGESTS[1], sequence=1)
    replay = ReplayView(watermark=40, samples=40)
    view = FleetView(owner=owner_of(resource), line=line, replay=replay, rounds=rounds)
    return resource, desired(resource, seen("hostPath", joint(kube, namespace, {}), fleet=view), 0.0)


def plan_of_patch(kube: Kube, namespace: str) -> tuple[Resource, Plan]:
    report = RoundReport(
        round="r", outcome="Promoted", reason="Gain", message="", base=DIGESTS[1], candidate=DIGESTS[2],
        watermark=40, samples=40, finished_at=1.0,
    )  # fmt: skip
    return plan_of_learning(kube, namespace, report)


def plan_of_platform(kube: Kube, namespace: str) -> tuple[Resource, Plan]:
    """Hub and signer have no owner in a cluster; here a JointInference lends itself."""
    objects = platform_objects(platform("persistentVolumeClaim", storage_class="by-hand"), b"a key", namespace)
    return joint(kube, namespace, {}), Plan(children=objects)


CASES = {
    "edges on hostPath": lambda kube, namespace: plan_of_joint(kube, namespace, {}, "hostPath"),
    "edges with claims": lambda kube, namespace: plan_of_joint(kube, namespace, {}, "persistentVolumeClaim"),
    "everything set": lambda kube, namespace: plan_of_joint(kube, namespace, FULL, "persistentVolumeClaim"),
    "a camera of the node": lambda kube, namespace: plan_of_joint(kube, namespace, FILMING, "persistentVolumeClaim"),
    "a stream": lambda kube, namespace: plan_of_joint(kube, namespace, STREAMING, "persistentVolumeClaim"),
    "edges alone": lambda kube, namespace: plan_of_joint(kube, namespace, MINIMAL, "hostPath"),
    "training round": lambda kube, namespace: plan_of_learning(kube, namespace),
    "promoted candidate": plan_of_patch,
    "hub and signer": plan_of_platform,
}


@pytest.fixture
async def api(kube: Kube) -> AsyncIterator[Api]:
    """Requests as the operator's user."""
    client: ApiClient = new_client_from_config(str(kube.plane.kubeconfig(control_plane.OPERATOR)))
    async with Api(client, Timeouts(connect=5, read=30), threads=4) as found:
        yield found


@pytest.mark.parametrize("case", CASES)
async def test_what_is_applied_once_is_not_written_again(kube: Kube, api: Api, namespace: str, case: str) -> None:
    resource, plan = CASES[case](kube, namespace)
    assert plan.children
    start = kube.audit_end()
    await fresh(api).apply(resource, plan)
    assert len(kube.writes(start)) == len(plan.children)
    again = kube.audit_end()
    await fresh(api).apply(resource, plan)
    assert kube.writes(again) == []


def fresh(api: Api) -> Applier:
    """An applier that remembers nothing, as after a restart."""
    return Applier(api, Index(), SystemClock(), refresh_seconds=600)


def test_every_builder_is_among_the_cases(kube: Kube, namespace: str) -> None:
    """The cases together make every kind that a plan may contain, and every container role."""
    made = [body for case in CASES.values() for body in case(kube, namespace)[1].children]
    assert {body["kind"] for body in made} == {
        "Deployment", "Job", "ModelPatch", "PersistentVolumeClaim", "Secret", "Service"
    }  # fmt: skip
    templates = [body["spec"]["template"]["spec"] for body in made if body["kind"] in ("Deployment", "Job")]
    roles = {container["name"] for spec in templates for container in spec["containers"]}
    assert roles == {"edge", "router", "agent", "cloud", "trainer", "hub", "signer"}
