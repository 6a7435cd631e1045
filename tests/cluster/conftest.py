"""One real cluster for the session: kubelet, KubeEdge, images, and the chart installed into it (tools/cluster)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
sys.path[:0] = [str(_HERE), str(_ROOT / "tools" / "cluster"), str(_ROOT / "tools" / "kube")]

import cluster as clusters  # noqa: E402
import provision  # noqa: E402
from cluster_kit import FIGURES, SYSTEM, Site, note, page  # noqa: E402

IMAGES = ("operator", "hub", "broker", "gateway", "edge", "cloud")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs root, Linux, Go's programs and images."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def archives() -> dict[str, Path]:
    """The images of `make images`, by role."""
    if reason := clusters.lacking() or ("" if provision.program("helm") else "not found: helm (make kube)"):
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    made = subprocess.run(
        [sys.executable, str(_ROOT / "tools" / "images" / "build.py"), *IMAGES],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert made.returncode == 0, "tools/images/build.py failed; its lines above say why"
    return dict(zip(IMAGES, map(Path, made.stdout.splitlines()), strict=True))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos at dusk, which the edge's first model has not seen."""
    folder = tmp_path_factory.mktemp("photos")
    command = [str(_ROOT / ".venv" / "bin" / "umiak"), "data", "yard:dusk?seed=5&frames=40", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "images"


@pytest.fixture(scope="session")
def cluster(archives: dict[str, Path]) -> Iterator[clusters.Cluster]:
    """Control plane, the cloud's node with all images, and one more node with a plain kubelet and the edge's image."""
    FIGURES.unlink(missing_ok=True)
    folder = Path("/var/tmp/umiak-cluster")  # a kubelet's sockets lie deep in it, and their paths have to be short
    clusters.sweep(folder)
    found = clusters.Cluster(folder)
    try:
        found.start()
        found.load([*archives.values()])
        found.join_plain().containerd.load(archives["edge"])
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def site(cluster: clusters.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The chart, installed by the page's own commands, into a namespace that admits only restricted pods."""
    helm = provision.program("helm")
    assert helm is not None
    found = Site(cluster, helm, tmp_path_factory.mktemp("site"))
    cluster.kubectl("create", "namespace", SYSTEM)
    cluster.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    (block,) = page("install-kubernetes.md")["2. Install"]
    own = (
        block.replace("192.0.2.10", clusters.CLOUD_ADDRESS)
        .replace("node-2", clusters.PLAIN_EDGE)
        .replace("registry.example/team", "")
    )
    variables, *commands = own.splitlines()
    for command in commands:
        began = time.monotonic()
        if command.startswith("helm install"):  # all nodes are this machine: their state belongs to this run alone
            command += f" --set edge.hostPathRoot={cluster.folder}/nodes"
        found.shell(f"{variables}\n{command}", 420)
        if command.startswith("helm install"):
            note(helm_install_seconds=time.monotonic() - began)
    return found
