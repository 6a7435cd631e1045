#!/usr/bin/env python3
"""A real cluster on one machine, without a registry: control plane, a node with kubelet, KubeEdge edges.

    sudo .venv/bin/python tools/cluster/cluster.py FOLDER [--edges N]      runs until Ctrl-C

Each machine of it is a network namespace with a containerd of its own; the images are those of `make images`. What is
not as in a large cluster: one node beside the edges, volumes are folders of this machine, NetworkPolicies are enforced
only where there is a kube-router (the pod network is a plain bridge), and the load on two cores.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kube")]

import provision  # noqa: E402
from containerd import Containerd, remove_leftovers  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from firewall import PROGRAM as FIREWALL  # noqa: E402
from firewall import Firewall  # noqa: E402
from hosts import OUTER, Failed, Host, Link, outer_link, run  # noqa: E402
from kubeedge import CloudCore, EdgeNode, Kubectl  # noqa: E402
from node import NameServer, Node  # noqa: E402
from processes import Processes  # noqa: E402

CLOUD_NODE = "cloud-1"
CLOUD_ADDRESS = "10.213.0.1"
STORAGE_CLASS = "folders"
VOLUMES = 6
"""Folders that claims can have, 20 GiB each by name."""
PLAIN_EDGE = "plain-1"
_USERS = ("admin", "system:kube-proxy", f"system:node:{CLOUD_NODE}", f"system:node:{PLAIN_EDGE}")
_PROGRAMS = (
    "containerd", "runc", "iptables", "conntrack", "nsenter", "ip", "tc", "gcc", "curl", "mosquitto", "sysctl"
)  # fmt: skip


class Cluster:
    """A cluster under `folder`. Nothing runs before `start`; `stop` leaves nothing, not even after a failed start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = provision.cluster()
        self.cloud = Host("umiak-cloud", CLOUD_ADDRESS)
        tokens = {user: f"token-of-{user.replace(':', '-')}-{id(self):x}" for user in _USERS}
        self.plane = ControlPlane(
            provision.provision(), folder / "plane", tokens, CLOUD_ADDRESS, self.cloud.prefix, nodes=True
        )
        self.kubectl = Kubectl(self.plane)
        self.edges: dict[str, EdgeNode] = {}
        self.cloudcore: CloudCore | None = None
        self.firewall: Firewall | None = None
        self._links = 0
        self._undo: list[Callable[[], None]] = []

    def start(self) -> None:
        """Control plane, name server and the cloud's node, Ready. Raises Failed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._later(self.cloud.delete)
        self.cloud.create()
        outer_link(self.cloud)
        self._later(self.plane.stop)
        self.plane.start()
        self.plane.start_controllers()
        containerd = self._containerd(self.cloud, "10.77.0.0/24")
        self.node = Node(CLOUD_NODE, self.cloud, self.plane, containerd, self.programs)
        self._later(self.node.stop)
        self.node.start()
        self.node.start_proxy()
        names = NameServer(self.cloud, self.plane, self.programs["coredns"], self.folder / "coredns")
        self._later(names.stop)
        names.start()
        self.apply(*names.objects(), *self._volumes())
        self._registered(CLOUD_NODE, "kubelet", self.node.processes)
        if program := provision.program(FIREWALL):
            self.firewall = Firewall(CLOUD_NODE, self.cloud, self.plane, program, self.folder / FIREWALL)
            self._later(self.firewall.stop)
            self.firewall.start()

    def start_kubeedge(self) -> None:
        """CloudCore, ready for edges."""
        definitions = self.programs["cloudcore"].parent / provision.KUBEEDGE_DEFINITIONS
        self.kubectl("create", "namespace", "kubeedge")
        self.kubectl("apply", "--server-side", "-R", "-f", str(definitions))
        self.cloudcore = CloudCore(self.cloud, self.plane, self.programs, self.folder / "cloudcore")
        self._later(self.cloudcore.stop)
        self.cloudcore.start()
        self.cloudcore.processes.wait("cloudcore", lambda: bool(self._token()))

    def join_plain(self) -> Node:
        """An edge with a plain kubelet, Ready: it reaches API server and gateway, but not the cluster's Services."""
        link, containerd = self._edge()
        node = self.plain = Node(PLAIN_EDGE, link.edge, self.plane, containerd, self.programs)
        self._later(node.stop)
        node.start()
        self._registered(PLAIN_EDGE, "kubelet", node.processes)
        return node

    def join(self, name: str) -> EdgeNode:
        """A new KubeEdge node, Ready, at the end of a link of its own. Raises Failed."""
        link, containerd = self._edge()
        node = self.edges[name] = EdgeNode(name, link, self.plane, containerd, self.programs)
        self._later(node.stop)
        node.start_broker()
        node.start(self._token())
        self._registered(name, "edgecore", node.processes)
        return node

    def load(self, archives: Sequence[Path]) -> None:
        """Give images to the cloud's node."""
        for archive in archives:
            self.node.containerd.load(archive)

    def apply(self, *objects: dict[str, object]) -> None:
        """Apply objects as the administrator."""
        self.kubectl("apply", "-f", "-", feed=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def wait(self, what: str, condition: str, seconds: int = 90) -> None:
        """Wait for a condition. Raises Failed."""
        self.kubectl("wait", f"--for=condition={condition}", what, f"--timeout={seconds}s")

    def stop(self) -> None:
        """End everything, the last thing first; a thing that cannot be ended keeps nothing else."""
        while self._undo:
            try:
                self._undo.pop()()
            except Failed as error:
                print(f"cluster: left behind: {error}", file=sys.stderr)

    def _edge(self) -> tuple[Link, Containerd]:
        """A new host with a containerd, at the end of a link of its own."""
        self._links += 1
        edge = Host(f"umiak-edge-{self._links}", f"10.213.{self._links}.2")
        self._later(edge.delete)
        edge.create()
        link = Link(self.cloud, edge, self._links)
        link.create()
        return link, self._containerd(edge, f"10.88.{self._links}.0/24")

    def _registered(self, name: str, agent: str, processes: Processes) -> None:
        def listed() -> bool:
            return f"node/{name}" in self.kubectl("get", "nodes", "-o", "name").split()

        processes.wait(agent, listed, 90)
        self.wait(f"node/{name}", "Ready")

    def _containerd(self, host: Host, network: str) -> Containerd:
        found = Containerd(host, self.folder / f"containerd-{host.name}", network)
        self._later(found.stop)
        found.start()
        return found

    def _token(self) -> str:
        return self.cloudcore.token(self.kubectl) if self.cloudcore else ""

    def _later(self, undo: Callable[[], None]) -> None:
        self._undo.append(undo)

    def _volumes(self) -> list[dict[str, object]]:
        """What an administrator of a cluster without a provisioner does: a class, and volumes that are folders."""
        annotation = {"storageclass.kubernetes.io/is-default-class": "true"}
        found: list[dict[str, object]] = [{
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": STORAGE_CLASS, "annotations": annotation},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
        }]  # fmt: skip
        for number in range(1, VOLUMES + 1):
            folder = self.folder / "volumes" / f"v{number}"
            folder.mkdir(parents=True)
            folder.chmod(0o777)  # fsGroup does not reach folders of the host
            found.append({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"v{number}"},
                "spec": {
                    "capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"],
                    "storageClassName": STORAGE_CLASS, "hostPath": {"path": str(folder)},
                    "persistentVolumeReclaimPolicy": "Retain",
                },
            })  # fmt: skip
        return found


def until(true: Callable[[], bool], seconds: float, what: str, more: Callable[[], str] = str) -> float:
    """Wait until something is true; the seconds it took. Raises Failed."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > seconds:
            raise Failed(f"{what}{more()}")
        time.sleep(0.2)
    return time.monotonic() - started


def lacking() -> str:
    """Why no cluster can run here, in one line; empty if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a real node needs Linux and root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in _PROGRAMS if not shutil.which(name, path=path)]
    missing += [name for name in provision.CLUSTER if provision.program(name) is None]
    missing += [] if Path("/usr/lib/cni/bridge").exists() else ["containernetworking-plugins"]
    return f"not found: {', '.join(missing)} (tools/kube/provision.py cluster builds Go programs)" if missing else ""


def sweep(folder: Path) -> None:
    """Remove what is left of a cluster under `folder` whose process was killed."""
    for left in folder.glob("containerd-*"):
        remove_leftovers(left)
    for line in run("ip", "netns", "list").splitlines():
        if line.startswith("umiak-"):
            run("ip", "netns", "delete", line.split()[0])
    if Path(f"/sys/class/net/{OUTER}").exists():
        run("ip", "link", "delete", OUTER)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run one by hand until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A real cluster with KubeEdge edges on this machine, until Ctrl-C.")
    parser.add_argument("folder", nargs="?", type=Path, help="where it keeps everything; without: a temporary folder")
    parser.add_argument("--edges", type=int, default=1, help="KubeEdge nodes to join (default 1)")
    parser.add_argument("--image", action="append", default=[], type=Path, help="archive of an image for every node")
    chosen = parser.parse_args()
    if reason := lacking():
        print(f"cluster: {reason}", file=sys.stderr)
        return 1
    folder = (chosen.folder or Path(tempfile.mkdtemp(prefix="umiak-cluster-"))).resolve()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sweep(folder)
    cluster = Cluster(folder)
    try:
        cluster.start()
        cluster.load(chosen.image)
        if chosen.edges:
            cluster.start_kubeedge()
        for number in range(1, chosen.edges + 1):
            node = cluster.join(f"edge-{number}")
            for image in chosen.image:
                node.containerd.load(image)
        print(f"ready: export KUBECONFIG={cluster.plane.kubeconfig('admin')}  (Ctrl-C ends it)", flush=True)
        stop.wait()
    except Failed as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    finally:
        cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
