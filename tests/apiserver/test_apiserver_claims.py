"""Where edges keep their state in claims, a namespace that enforces PodSecurity `restricted` admits every pod."""

from typing import Any

import control_plane
import pytest
from apiserver_kit import Kube, Operator, eventually, joint_inference, path


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """Claims without a storage class: volumes are made by hand here."""
    (port,) = control_plane.free_ports(1)
    claims = {"stateVolume": "persistentVolumeClaim", "storageClass": "by-hand", "stateSize": "1Gi"}
    return {"hub": f"http://127.0.0.1:{port}", **claims}


def volume(kube: Kube, name: str) -> None:
    """A volume of a class that no provisioner serves."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "by-hand",
        "persistentVolumeReclaimPolicy": "Delete",
        "hostPath": {"path": f"/never/used/{name}"},
    }
    kube.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})


def test_a_restricted_namespace_admits_edges_and_cloud(kube: Kube, operator: Operator, restricted: str) -> None:
    for number in range(2):
        volume(kube, f"{restricted}-{number}")
    kube.apply(joint_inference(restricted))
    kube.run("wait", "-n", restricted, "--for=condition=Ready", "jointinference/yard", "--timeout=60s")
    eventually(lambda: len(kube.items(path("pods", restricted))) == 3, what="two edges and a cloud worker")
    claims = kube.items(path("persistentvolumeclaims", restricted))
    assert [(claim["metadata"]["name"], claim["status"]["phase"]) for claim in claims] == [
        ("yard-edge-edge-1", "Bound"),
        ("yard-edge-edge-2", "Bound"),
    ]
    warnings = [event for event in kube.items(path("events", restricted)) if "violates PodSecurity" in event["message"]]
    assert warnings == []
    for number in range(2):
        kube.delete(f"/api/v1/persistentvolumes/{restricted}-{number}")


def test_a_claim_survives_a_new_template(kube: Kube, operator: Operator, restricted: str) -> None:
    kube.apply(joint_inference(restricted))
    place = path("persistentvolumeclaims", restricted, "yard-edge-edge-1")
    before = eventually(lambda: kube.get(place))
    edge = {**joint_inference(restricted)["spec"]["edge"], "runtime": {"threads": 2}}
    kube.apply(joint_inference(restricted, edge=edge))
    deployment = path("deployments", restricted, "yard-edge-edge-1")
    eventually(lambda: (kube.get(deployment) or {})["metadata"]["generation"] == 2, what="a new template")
    after = kube.get(place)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
