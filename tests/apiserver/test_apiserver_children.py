"""The operator as a process against the real API server: children made, changed, healed, pruned, collected."""

from typing import Any

import control_plane
import pytest
from apiserver_kit import DIGESTS, Kube, Operator, custom, eventually, joint_inference, path

from umiak_operators.cli.operator import client_of
from umiak_operators.runtime.cluster.api import Api, Timeouts

OURS = "umiak.dev/owner-name"


def ready(kube: Kube, namespace: str, name: str = "yard", seconds: float = 60) -> None:
    place = path("jointinferences", namespace, name)
    eventually(lambda: kube.condition(place, "Ready")[0] == "True", seconds, f"{namespace}/{name} Ready")


def container(body: dict[str, Any], name: str) -> dict[str, Any]:
    containers: list[dict[str, Any]] = body["spec"]["template"]["spec"]["containers"]
    return next(item for item in containers if item["name"] == name)


def test_children_come_up_and_the_resource_is_ready(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    kube.run("wait", "-n", namespace, "--for=condition=Ready", "jointinference/yard", "--timeout=60s")
    assert kube.names(path("deployments", namespace)) == ["yard-cloud", "yard-edge-edge-1", "yard-edge-edge-2"]
    parts = [f"yard-edge-edge-{number}-{role}" for number in (1, 2) for role in ("agent", "edge", "router")]
    assert kube.names(path("secrets", namespace), OURS) == ["yard-cloud", *parts]
    assert kube.names(path("services", namespace), OURS) == ["yard-cloud"]
    body = kube.get(path("jointinferences", namespace, "yard"))
    assert body is not None
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"]
    place = path("jointinferences", namespace, "yard")
    all_ready = {"desired": 2, "ready": 2, "summary": "2/2"}
    eventually(lambda: (kube.get(place) or {})["status"]["edges"] == all_ready, seconds=15)
    assert kube.condition(place, "FleetObserved")[:2] == ("Unknown", "HubUnreachable")
    assert "finalizers" not in body["metadata"]
    assert [key for key in body["metadata"].get("annotations", {}) if "kopf" in key] == []


async def test_what_lives_is_listed_by_name_page_by_page(
    kube: Kube, operator: Operator, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    monkeypatch.setattr("umiak_operators.runtime.cluster.api._PAGE", 1)
    client = client_of(kube.plane.kubeconfig(control_plane.OPERATOR))
    async with Api(client, Timeouts(connect=5, read=30), threads=2) as api:
        deployments, nodes = await api.living("Deployment"), await api.living("Node")
    names = ("yard-cloud", "yard-edge-edge-1", "yard-edge-edge-2")
    assert {place for place in deployments if place[0] == namespace} == {(namespace, name) for name in names}
    assert nodes == {("", "edge-1"), ("", "edge-2"), ("", "cloud-1")}


def test_edge_pods_run_on_their_own_node_and_cloud_pods_on_none(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    pods = kube.items(path("pods", namespace))
    assert len(pods) == 3
    where = {pod["metadata"]["labels"].get("umiak.dev/edge", "cloud"): pod["spec"]["nodeName"] for pod in pods}
    assert where == {"edge-1": "edge-1", "edge-2": "edge-2", "cloud": "cloud-1"}


def test_children_belong_to_their_owner(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    owner = kube.get(path("jointinferences", namespace, "yard"))
    assert owner is not None
    for plural in ("deployments", "secrets", "services"):
        for item in kube.items(path(plural, namespace), OURS):
            (reference,) = item["metadata"]["ownerReferences"]
            assert reference["uid"] == owner["metadata"]["uid"]
            assert reference["controller"] is True
            managers = {entry["manager"] for entry in item["metadata"]["managedFields"]}
            assert "umiak-operator" in managers


def test_a_gpu_comes_to_a_running_cloud_and_goes_again(kube: Kube, operator: Operator, namespace: str) -> None:
    """The API server has filled in how a Deployment is rolled: what is asked for has to fit that."""
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    owner, place = path("jointinferences", namespace, "yard"), path("deployments", namespace, "yard-cloud")

    def rolled() -> tuple[Any, Any]:
        body = kube.get(place)
        assert body is not None
        limits = container(body, "cloud")["resources"]["limits"]
        return body["spec"]["strategy"]["rollingUpdate"]["maxSurge"], limits.get("nvidia.com/gpu")

    kube.patch(owner, {"spec": {"cloud": {"gpu": {"resource": "nvidia.com/gpu"}}}})
    eventually(lambda: rolled() == (0, "1"), what="a GPU")
    kube.patch(owner, {"spec": {"cloud": {"gpu": None}}})
    eventually(lambda: rolled() == ("25%", None), what="no GPU")


def test_a_changed_spec_changes_only_what_it_concerns(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    edge = path("deployments", namespace, "yard-edge-edge-1")
    before = kube.get(edge)
    assert before is not None
    cloud = {"labeller": {"uri": "builtin:yard-labeller", "digest": DIGESTS[3]}, "replicas": 2}
    kube.patch(path("jointinferences", namespace, "yard"), {"spec": {"cloud": cloud}})
    place = path("deployments", namespace, "yard-cloud")
    eventually(lambda: (kube.get(place) or {})["status"].get("readyReplicas") == 2, what="two cloud workers")
    after = kube.get(edge)
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    eventually(
        lambda: (kube.get(path("jointinferences", namespace, "yard")) or {})["status"]["observedGeneration"] == 2,
        what="the new generation is reported",
    )


def test_a_field_that_leaves_the_plan_leaves_the_child(kube: Kube, operator: Operator, namespace: str) -> None:
    limits = {
        "edge": {**joint_inference(namespace)["spec"]["edge"], "runtime": {"resources": {"limits": {"cpu": "3"}}}}
    }
    kube.apply(joint_inference(namespace, **limits))
    ready(kube, namespace)
    place = path("deployments", namespace, "yard-edge-edge-1")
    body = kube.get(place)
    assert body is not None
    assert container(body, "edge")["resources"]["limits"]["cpu"] == "3"
    kube.apply(joint_inference(namespace))
    eventually(lambda: "cpu" not in container(kube.get(place) or {}, "edge")["resources"].get("limits", {}))


def test_a_hand_edited_child_is_healed(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    edits: list[tuple[str, dict[str, Any]]] = [
        (path("deployments", namespace, "yard-edge-edge-1"), {"spec": {"replicas": 3}}),
        (path("secrets", namespace, "yard-cloud"), {"data": {"endpoints.json": "e30="}}),
        (path("services", namespace, "yard-cloud"), {"spec": {"selector": {"umiak.dev/component": "nobody"}}}),
        (path("secrets", namespace, "yard-edge-edge-2-router"), {"metadata": {"labels": {OURS: None}}}),
        (path("secrets", namespace, "yard-edge-edge-1-agent"), {"metadata": {"ownerReferences": None}}),
    ]
    before = [essence(kube.get(place)) for place, _ in edits]
    for place, edit in edits:
        kube.patch(place, edit)
    for (place, _), wanted in zip(edits, before, strict=True):
        eventually(lambda p=place, w=wanted: essence(kube.get(p)) == w, what=f"{place} healed")


def essence(body: dict[str, Any] | None) -> Any:
    """What a person can edit of an object, less bookkeeping."""
    if body is None:
        return None
    meta = body["metadata"]
    kept = {key: meta.get(key) for key in ("labels", "ownerReferences")}
    return {key: body[key] for key in ("spec", "data") if key in body}, kept


def test_a_deleted_child_is_made_again(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    for place in (path("deployments", namespace, "yard-edge-edge-2"), path("secrets", namespace, "yard-cloud")):
        old = kube.get(place)
        assert old is not None
        kube.delete(place)
        uid = old["metadata"]["uid"]
        eventually(lambda p=place, u=uid: (found := kube.get(p)) and found["metadata"]["uid"] != u, what=place)
    ready(kube, namespace)


def test_a_node_that_comes_gets_an_edge_and_one_that_goes_loses_it(
    kube: Kube, operator: Operator, namespace: str
) -> None:
    nodes = {"nodes": {"matchLabels": {"site": namespace}}}
    kube.apply(joint_inference(namespace, edge={**joint_inference(namespace)["spec"]["edge"], **nodes}))
    place = path("jointinferences", namespace, "yard")
    eventually(lambda: kube.condition(place, "Ready")[1] == "NoMatchingNodes", what="no node matches")
    kube.node(f"{namespace}-late", {"site": namespace, "node-role.kubernetes.io/edge": ""})
    ready(kube, namespace)
    assert kube.names(path("deployments", namespace)) == ["yard-cloud", f"yard-edge-{namespace}-late"]
    kube.patch(f"/api/v1/nodes/{namespace}-late", {"metadata": {"labels": {"site": None}}})
    eventually(lambda: kube.names(path("deployments", namespace)) == ["yard-cloud"], what="the edge is pruned")
    eventually(lambda: kube.names(path("secrets", namespace), OURS) == ["yard-cloud"], what="and its Secret")
    kube.delete(f"/api/v1/nodes/{namespace}-late")


def test_deleting_the_owner_leaves_no_child(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace), joint_inference(namespace, name="other"))
    ready(kube, namespace)
    ready(kube, namespace, "other")
    kube.delete(path("jointinferences", namespace, "yard"))
    for plural in ("deployments", "secrets", "services", "pods"):
        eventually(lambda p=plural: kube.names(path(p, namespace), f"{OURS}=yard") == [], what=f"no {plural} left")
    assert len(kube.names(path("deployments", namespace), f"{OURS}=other")) == 3
    ready(kube, namespace, "other")


def test_an_owner_that_is_made_again_gets_children_of_its_own(kube: Kube, operator: Operator, namespace: str) -> None:
    kube.apply(joint_inference(namespace))
    ready(kube, namespace)
    kube.delete(path("jointinferences", namespace, "yard"))
    kube.apply(joint_inference(namespace))
    owner = kube.get(path("jointinferences", namespace, "yard"))
    assert owner is not None
    uid = owner["metadata"]["uid"]

    def adopted() -> bool:
        found = kube.items(path("deployments", namespace), OURS)
        owners = {reference["uid"] for item in found for reference in item["metadata"].get("ownerReferences", ())}
        return len(found) == 3 and owners == {uid}

    eventually(adopted, what="three children of the new owner alone")
    ready(kube, namespace)


def test_without_the_label_there_are_no_host_paths(kube: Kube, operator: Operator, restricted: str) -> None:
    kube.apply(joint_inference(restricted))
    place = path("jointinferences", restricted, "yard")
    eventually(lambda: kube.condition(place, "Ready")[1] == "HostPathNotAllowed")
    assert "kubectl label namespace" in kube.condition(place, "Ready")[2]
    assert kube.names(path("deployments", restricted)) == ["yard-cloud"]
    eventually(
        lambda: (kube.get(path("deployments", restricted, "yard-cloud")) or {})["status"].get("readyReplicas") == 1
    )
    labels = {"umiak.dev/host-path": "allowed", "pod-security.kubernetes.io/enforce": "privileged"}
    kube.patch(f"/api/v1/namespaces/{restricted}", {"metadata": {"labels": labels}})
    ready(kube, restricted)


def test_a_stranger_with_the_childs_name_is_left_alone(kube: Kube, operator: Operator, namespace: str) -> None:
    stranger = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "yard-cloud", "namespace": namespace}}
    kube.apply({**stranger, "stringData": {"mine": "yes"}})
    kube.apply(joint_inference(namespace))
    place = path("jointinferences", namespace, "yard")
    eventually(lambda: kube.condition(place, "Ready")[1] == "ChildRefused")
    assert "Secret yard-cloud exists and is not ours" in kube.condition(place, "Ready")[2]
    body = kube.get(path("secrets", namespace, "yard-cloud"))
    assert body is not None
    assert list(body["data"]) == ["mine"]
    kube.delete(path("secrets", namespace, "yard-cloud"))
    ready(kube, namespace)


def test_a_refused_child_is_said_with_the_servers_words(kube: Kube, operator: Operator, namespace: str) -> None:
    quota = {"hard": {"count/services": "0"}}
    meta = {"name": "none", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": quota})
    eventually(lambda: (kube.get(path("resourcequotas", namespace, "none")) or {}).get("status", {}).get("hard"))
    kube.apply(joint_inference(namespace))
    place = path("jointinferences", namespace, "yard")
    eventually(lambda: kube.condition(place, "Ready")[1] == "ChildRefused")
    assert "exceeded quota" in kube.condition(place, "Ready")[2]
    assert len(kube.names(path("deployments", namespace))) == 3, "one refused child keeps no other waiting"


def test_a_patch_without_a_hub_says_so_and_its_deletion_is_quick(
    kube: Kube, operator: Operator, namespace: str
) -> None:
    model = {"line": "yard", "from": DIGESTS[1], "to": DIGESTS[2]}
    kube.apply(custom("ModelPatch", namespace, "one", {"model": model}))
    place = path("modelpatches", namespace, "one")
    eventually(lambda: kube.condition(place, "Succeeded")[:2] == ("Unknown", "HubUnreachable"))
    kube.run("delete", "modelpatch", "one", "-n", namespace, "--timeout=5s")


def test_a_lifelong_learning_waits_for_its_joint_inference(kube: Kube, operator: Operator, namespace: str) -> None:
    spec = {"jointInferenceRef": {"name": "yard"}, "baseData": {"uri": "yard:base"}, "trigger": {"samples": 40}}
    kube.apply(custom("LifelongLearning", namespace, "learn", spec))
    place = path("lifelonglearnings", namespace, "learn")
    eventually(lambda: kube.condition(place, "Ready")[1] == "JointInferenceMissing")
    kube.apply(joint_inference(namespace))
    eventually(lambda: kube.condition(place, "Ready")[0] == "True")
    assert kube.condition(place, "Training")[:2] == ("False", "HubUnreachable")
    kube.delete(path("jointinferences", namespace, "yard"))
    eventually(lambda: kube.condition(place, "Ready")[1] == "JointInferenceMissing")
