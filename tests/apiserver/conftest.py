"""A real control plane for the session and an operator process per module (see apiserver_kit and tools/kube)."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "tools" / "kube")]

import control_plane  # noqa: E402
import provision  # noqa: E402
from apiserver_kit import ROOT, Kube, Operator, client, rights  # noqa: E402

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the control plane."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.apiserver)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[control_plane.ControlPlane]:
    """etcd, API server, controllers, scheduler and kwok, with our CRDs and the operator's rights."""
    assets = provision.existing()
    if assets is None:
        text = "kube-apiserver, etcd, kube-controller-manager, kube-scheduler, kubectl and kwok (make kube)"
        if os.environ.get("CI"):
            pytest.fail(f"missing {text}")
        pytest.skip(f"needs {text}")
    found = control_plane.ControlPlane(assets, tmp_path_factory.mktemp("kube"))
    try:
        found.start()
        with client(found) as http:
            kube = Kube(found, http)
            kube.run("apply", "-f", str(ROOT / "crds"))
            kube.run("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
            kube.apply(*rights())
        found.start_controllers()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def kube(plane: control_plane.ControlPlane) -> Iterator[Kube]:
    """The administrator, with two edge nodes and one that is none."""
    with client(plane) as http:
        found = Kube(plane, http)
        for name in ("edge-1", "edge-2"):
            found.node(name, {"node-role.kubernetes.io/edge": "", "site": "yard"})
        found.node("cloud-1", {})
        yield found


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """The operator's platform file; a module may override it. Nothing answers at this hub."""
    (port,) = control_plane.free_ports(1)
    return {"hub": f"http://127.0.0.1:{port}", "broker": "mqtt://127.0.0.1:1883"}


@pytest.fixture(scope="module")
def operator(kube: Kube, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A running operator; afterwards none of its requests may have been forbidden."""
    offset = kube.audit_end()
    found = Operator(kube.plane, tmp_path_factory.mktemp("operator"), settings)
    found.start()
    try:
        yield found
        found.stop()
    finally:
        if found.process is not None:
            control_plane.end([found.process])
    forbidden = kube.decided(offset, "forbid") - kube.decided(offset, "allow")
    assert forbidden == set(), "the operator asks for more than docs/reference/rbac.yaml gives"


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A fresh namespace in which edges may keep their state in hostPaths."""
    name = f"n{next(_numbers)}"
    labels = {"umiak.dev/host-path": "allowed", "pod-security.kubernetes.io/enforce": "privileged"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    kube.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
def restricted(kube: Kube) -> Iterator[str]:
    """A fresh namespace that enforces PodSecurity `restricted`."""
    name = f"r{next(_numbers)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    kube.run("delete", "namespace", name, "--wait=false")
