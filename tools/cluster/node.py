"""A real node: a kubelet over a containerd, with kube-proxy where it needs Services; the cluster's name server."""

import json
from dataclasses import dataclass
from pathlib import Path

from containerd import Containerd, unmount
from control_plane import ControlPlane
from hosts import Host
from processes import Processes

DNS_ADDRESS = "10.96.0.10"
_CONTROLLERS = ("blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids", "systemd")


@dataclass
class Node:
    """One node called `name`: a host with a containerd of its own."""

    name: str
    host: Host
    plane: ControlPlane
    containerd: Containerd
    programs: dict[str, Path]

    def __post_init__(self) -> None:
        self.folder = self.containerd.folder / "kubelet"
        self.folder.mkdir()
        self.processes = Processes(self.folder)

    def start(self) -> None:
        """Start the kubelet; the node registers itself."""
        cgroup = make_cgroup(f"umiak-{self.name}")
        config = self.folder / "kubelet.json"
        config.write_text(json.dumps(self._config(cgroup), indent=1))
        kubeconfig = self.plane.kubeconfig(f"system:node:{self.name}")
        self.processes.start("kubelet", [
            *self.host.prefix, str(self.programs["kubelet"]), f"--config={config}", f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.name}", f"--node-ip={self.host.address}", f"--root-dir={self.folder}/root",
            f"--cert-dir={self.folder}/pki",
        ])  # fmt: skip

    def start_proxy(self) -> None:
        """Start kube-proxy, so that pods and ports of this node lead to Services."""
        self.processes.start("kube-proxy", [
            *self.host.prefix, str(self.programs["kube-proxy"]), f"--hostname-override={self.name}",
            f"--kubeconfig={self.plane.kubeconfig('system:kube-proxy')}", "--proxy-mode=iptables",
            f"--cluster-cidr={self.containerd.network}", "--conntrack-max-per-core=0", "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
        ])  # fmt: skip

    def stop(self) -> None:
        """End both and take the pods' volumes down; containers are left to containerd."""
        self.processes.stop()
        unmount(self.folder)

    def _config(self, cgroup: str) -> dict[str, object]:
        client = f"{self.plane.folder}/kubelet-client.crt"
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": self.containerd.endpoint,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup,
            "clusterDomain": "cluster.local",
            "clusterDNS": [DNS_ADDRESS],
            "resolvConf": f"{self.folder}/resolv.conf",
            "podLogsDir": f"{self.folder}/logs",
            "readOnlyPort": 0,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
            "syncFrequency": "10s",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": client},
            },
            "authorization": {"mode": "Webhook"},
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }


@dataclass
class NameServer:
    """CoreDNS on the cloud's host, behind the Service that every cluster has: kube-system/kube-dns."""

    host: Host
    plane: ControlPlane
    program: Path
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.processes = Processes(self.folder)

    def start(self) -> None:
        """Start it; `objects` still have to be applied."""
        corefile = self.folder / "Corefile"
        kubernetes = f"kubernetes cluster.local in-addr.arpa {{\n  kubeconfig {self.plane.kubeconfig('admin')}\n  }}"
        corefile.write_text(f".:53 {{\n  bind {self.host.address}\n  errors\n  cache 5\n  {kubernetes}\n}}\n")
        self.processes.start("coredns", [*self.host.prefix, str(self.program), "-conf", str(corefile)])

    def objects(self) -> list[dict[str, object]]:
        """The Service and the endpoints behind it."""
        meta = {"name": "kube-dns", "namespace": "kube-system"}
        ports = [{"name": kind, "port": 53, "protocol": kind.upper()} for kind in ("udp", "tcp")]
        labels = {"kubernetes.io/service-name": "kube-dns"}
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": meta,
                "spec": {"clusterIP": DNS_ADDRESS, "ports": ports},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [self.host.address]}],
                "ports": ports,
            },
        ]

    def stop(self) -> None:
        """End it."""
        self.processes.stop()


def make_cgroup(name: str) -> str:
    """A cgroup for a kubelet, with every controller that there is; returns its path. Only v1 has been tried."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        wanted = set((root / "cgroup.controllers").read_text().split()) & {"cpu", "cpuset", "memory", "pids", "hugetlb"}
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in sorted(wanted)))
        (root / name).mkdir(exist_ok=True)
        return f"/{name}"
    for controller in _CONTROLLERS:
        parent = Path("/sys/fs/cgroup") / controller
        if not parent.is_dir():
            continue
        (parent / name).mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (parent / file).exists():
                (parent / name / file).write_text((parent / file).read_text())
    return f"/{name}"
