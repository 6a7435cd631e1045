"""Real KubeEdge: CloudCore beside the control plane, and edge nodes that reach it over their link alone."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from containerd import Containerd, unmount
from control_plane import ControlPlane
from hosts import Host, Link, run
from node import make_cgroup
from processes import Processes


@dataclass
class CloudCore:
    """KubeEdge's cloud side, on the cloud's host."""

    host: Host
    plane: ControlPlane
    programs: dict[str, Path]
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.processes = Processes(self.folder)

    def start(self) -> None:
        """Start it, or start it again."""
        file = self.folder / "cloudcore.yaml"
        if not file.exists():
            file.write_text(yaml.safe_dump(self._config()))
        program = str(self.programs["cloudcore"])
        self.processes.start("cloudcore", [*self.host.prefix, program, f"--config={file}"])

    def stop(self) -> None:
        """End it."""
        self.processes.stop()

    def token(self, kubectl: "Kubectl") -> str:
        """What an edge shows to be let in; empty while there is none."""
        asked = (
            "get",
            "secret",
            "-n",
            "kubeedge",
            "tokensecret",
            "--ignore-not-found",
            "-o",
            "jsonpath={.data.tokendata}",
        )
        return base64.b64decode(kubectl(*asked)).decode()

    def _config(self) -> dict[str, Any]:
        config = yaml.safe_load(run(str(self.programs["cloudcore"]), "--defaultconfig"))
        config = _moved(config, {"/etc/kubeedge": str(self.folder)})
        config["kubeAPIConfig"]["kubeConfig"] = str(self.plane.kubeconfig("admin"))
        modules = config["modules"]
        modules["cloudHub"]["advertiseAddress"] = [self.host.address]
        modules["cloudHub"]["unixsocket"]["address"] = f"unix://{self.folder}/kubeedge.sock"
        for name in ("cloudStream", "iptablesManager"):
            modules[name]["enable"] = False
        return config  # type: ignore[no-any-return]


class Kubectl:
    """kubectl as the administrator."""

    def __init__(self, plane: ControlPlane) -> None:
        self.command = (str(plane.assets / "kubectl"), f"--kubeconfig={plane.kubeconfig('admin')}")

    def __call__(self, *arguments: str, feed: str | None = None) -> str:
        """Run it to its end; its output. Raises Failed."""
        return run(*self.command, *arguments, feed=feed)


@dataclass
class EdgeNode:
    """A KubeEdge node called `name`, at the far end of a link."""

    name: str
    link: Link
    plane: ControlPlane
    containerd: Containerd
    programs: dict[str, Path]

    def __post_init__(self) -> None:
        self.folder = self.containerd.folder / "edgecore"
        self.folder.mkdir()
        self.processes = Processes(self.folder)

    def start(self, token: str = "") -> None:
        """Start EdgeCore, or start it again; the first time with the token of CloudCore."""
        file = self.folder / "edgecore.yaml"
        if not file.exists():
            file.write_text(yaml.safe_dump(self._config(token)))
        environment = {**os.environ, "CHECK_EDGECORE_ENVIRONMENT": "false"}
        program = str(self.programs["edgecore"])
        self.processes.start("edgecore", [*self.link.edge.prefix, program, f"--config={file}"], environment)

    def stop_edgecore(self) -> None:
        """End EdgeCore alone: its containers go on."""
        self.processes.stop("edgecore")

    def stop(self) -> None:
        """End it and take the pods' volumes down; containers are left to containerd."""
        self.processes.stop()
        unmount(self.folder)

    def start_broker(self) -> None:
        """EdgeCore's own mosquitto, on the edge's loopback."""
        self.processes.start("mosquitto", [*self.link.edge.prefix, "mosquitto", "-p", "1883"])

    def _config(self, token: str) -> dict[str, Any]:
        config = yaml.safe_load(run(str(self.programs["edgecore"]), "--defaultconfig"))
        here = {"/etc/kubeedge": f"{self.folder}/etc", "/var/lib/kubeedge": f"{self.folder}/data"}
        config = _moved(config, {**here, "/var/lib/kubelet": f"{self.folder}/kubelet"})
        for name in ("etc", "data", "kubelet"):
            (self.folder / name).mkdir(exist_ok=True)
        modules = config["modules"]
        edged, hub = modules["edged"], modules["edgeHub"]
        edged.update(hostnameOverride=self.name, nodeIP=self.link.edge.address, reportEvent=True)
        kubelet = edged["tailoredKubeletConfig"]
        kubelet.update(
            containerRuntimeEndpoint=self.containerd.endpoint,
            imageServiceEndpoint=self.containerd.endpoint,
            cgroupDriver="cgroupfs",
            cgroupRoot=make_cgroup(f"umiak-{self.name}"),
            syncFrequency="10s",
            evictionHard={"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            imageGCHighThresholdPercent=100,
        )
        hub.update(httpServer=f"https://{self.link.cloud.address}:10002", token=token)
        hub["websocket"]["server"] = f"{self.link.cloud.address}:10000"
        modules["edgeStream"]["enable"] = False
        return config  # type: ignore[no-any-return]


def _moved(value: Any, places: dict[str, str]) -> Any:
    """The same configuration with every path under one of the old places moved to the new one."""
    if isinstance(value, dict):
        return {key: _moved(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, places) for item in value]
    if isinstance(value, str):
        for old, new in places.items():
            value = value.replace(old, new)
    return value
