"""A containerd of one machine: its own folders, socket and pod network.

Needs Debian's containerd, runc and containernetworking-plugins.
"""

import contextlib
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pause
from hosts import Failed, Host, run
from processes import Processes

_PLUGINS = "/usr/lib/cni"
_CONFIG = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{unused}]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/registries"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""
"""restrict_oom_score_adj: without CAP_SYS_RESOURCE a lower score cannot be asked for."""
_UNUSED = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in ("aufs", "btrfs", "devmapper", "zfs"))


@dataclass
class Containerd:
    """One containerd under `folder` on a host; its pods live in `network`, for example 10.77.1.0/24."""

    host: Host
    folder: Path
    network: str

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.processes = Processes(self.folder)

    @property
    def socket(self) -> str:
        """Where it listens."""
        return f"{self.folder}/containerd.sock"

    @property
    def endpoint(self) -> str:
        """The same for a kubelet."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and give it the pause image."""
        (self.folder / "cni").mkdir()
        (self.folder / "cni" / "10-umiak.conflist").write_text(json.dumps(self._pod_network()))
        config = self.folder / "containerd.toml"
        names = {"folder": self.folder, "socket": self.socket, "pause": pause.NAME, "plugins": _PLUGINS}
        config.write_text(_CONFIG.format(unused=_UNUSED, **names))
        self.processes.start("containerd", [*self.host.prefix, "containerd", "-c", str(config)])
        self.processes.wait("containerd", self._answers)
        self.load(pause.build(self.folder))

    def load(self, archive: Path) -> None:
        """Import an image's archive."""
        self.ctr("images", "import", str(archive))

    def trust(self, registry: str) -> None:
        """Pull from `registry` (address:port) by HTTP without TLS."""
        folder = self.folder / "registries" / registry
        folder.mkdir(parents=True)
        told = f'[host."http://{registry}"]\n  capabilities = ["pull", "resolve"]\n'
        (folder / "hosts.toml").write_text(told)

    def ctr(self, *command: str) -> str:
        """Run containerd's own client in the namespace of Kubernetes."""
        return run("ctr", "--address", self.socket, "--namespace", "k8s.io", *command)

    def containers(self, pod: str, name: str) -> list[str]:
        """Ids of the running containers of this name in pods whose name begins so."""
        running = {line.split()[0] for line in self.ctr("tasks", "list").splitlines() if "RUNNING" in line}
        asked = f'labels."io.kubernetes.container.name"=={name}'
        found = []
        for container in running & set(self.ctr("containers", "list", "--quiet", asked).split()):
            labels = json.loads(self.ctr("containers", "info", container))["Labels"]
            if labels["io.kubernetes.pod.name"].startswith(pod):
                found.append(container)
        return found

    def kill(self, pod: str, name: str) -> None:
        """Kill a container without warning."""
        found = self.containers(pod, name)
        if not found:
            raise Failed(f"no container {name} runs in a pod {pod}...")
        for container in found:
            self.ctr("tasks", "kill", "--signal", "9", container)

    def memory(self, pod: str) -> int:
        """Resident bytes of all processes of pods whose name begins so."""
        total = 0
        for line in self.ctr("tasks", "list").splitlines()[1:]:
            container, pid, _ = line.split()[:3]
            labels = json.loads(self.ctr("containers", "info", container))["Labels"]
            if labels["io.kubernetes.pod.name"].startswith(pod):
                total += _resident(int(pid))
        return total

    def stop(self) -> None:
        """End it and all its containers; nothing of it is left but its files."""
        self.processes.stop()
        remove_leftovers(self.folder)

    def _answers(self) -> bool:
        try:
            return bool(self.ctr("version"))
        except Failed:
            return False

    def _pod_network(self) -> dict[str, object]:
        ranges = [[{"subnet": self.network}]]
        ipam = {
            "type": "host-local",
            "dataDir": f"{self.folder}/ipam",
            "ranges": ranges,
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": ipam,
        }
        return {
            "cniVersion": "0.4.0",
            "name": "umiak",
            "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
        }


def remove_leftovers(folder: Path) -> None:
    """Containers, shims, mounts and pod networks of a containerd that has ended, even without warning."""
    tasks = folder / "state" / "io.containerd.runtime.v2.task" / "k8s.io"
    networks = {_network(file) for file in tasks.glob("*/config.json")} - {""}
    for file in tasks.glob("*/init.pid"):
        _kill(int(file.read_text()))
    for pid in _shims(f"{folder}/containerd.sock"):
        _kill(pid)
    unmount(folder)
    for name in networks:
        _quietly(lambda name=name: run("ip", "netns", "delete", name))


def unmount(folder: Path) -> None:
    """Take down every mount under a folder, the deepest first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        _quietly(lambda place=place: run("umount", "--lazy", place))


def _network(config: Path) -> str:
    """Name of the network namespace that a pod's container joined; empty without one."""
    spaces = json.loads(config.read_text())["linux"]["namespaces"]
    path = next((space.get("path", "") for space in spaces if space["type"] == "network"), "")
    return Path(path).name if "/netns/" in path else ""


def _shims(socket: str) -> list[int]:
    """Processes that were started for this containerd."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes().decode(errors="replace").split("\0")
            if "shim" in words[0] and socket in words:
                found.append(int(file.parent.name))
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0
    return pages * 4096


def _quietly(act: Callable[[], object]) -> None:
    with contextlib.suppress(Failed):
        act()
