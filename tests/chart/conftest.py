"""Helm for the tests of the chart, and a control plane of its own: the chart brings the resource definitions."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
_BESIDE = (_HERE, _HERE.parent / "apiserver", _HERE.parent / "workers", _HERE.parents[1] / "tools" / "kube")
sys.path[:0] = [str(folder) for folder in _BESIDE]

import control_plane  # noqa: E402
import provision  # noqa: E402
from apiserver_kit import Kube, client  # noqa: E402
from chart_kit import Helm, absent  # noqa: E402
from postgres_kit import postgres  # noqa: E402

__all__ = ["helm", "kube", "plane", "postgres"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs what `make kube` builds."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.apiserver)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster."""
    program = provision.program("helm")
    if program is None:
        absent("helm (make kube)")
    return Helm(program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[control_plane.ControlPlane]:
    """etcd, API server, controllers, scheduler and kwok, without any resource definition of ours."""
    assets = provision.existing()
    if assets is None:
        absent("kube-apiserver, etcd, kube-controller-manager, kube-scheduler, kubectl and kwok (make kube)")
    found = control_plane.ControlPlane(assets, tmp_path_factory.mktemp("kube"))
    try:
        found.start()
        found.start_controllers()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def kube(plane: control_plane.ControlPlane) -> Iterator[Kube]:
    """The administrator, with an edge node and two that are none."""
    with client(plane) as http:
        found = Kube(plane, http)
        found.node("edge-1", {"node-role.kubernetes.io/edge": ""})
        for name in ("cloud-1", "cloud-2"):
            found.node(name, {})
        yield found
