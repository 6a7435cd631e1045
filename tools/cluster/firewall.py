"""NetworkPolicies enforced on a node, where there is a kube-router: it alone of its kind needs no cluster network of
its own.

The Go module proxy does not have it, so nothing here can build it: who has the program puts it on PATH, and `ipset`,
which it uses.
"""

from dataclasses import dataclass
from pathlib import Path

from control_plane import ControlPlane
from hosts import Failed, Host
from processes import Processes

PROGRAM = "kube-router"
_SERVICES = "10.96.0.0/12"


@dataclass
class Firewall:
    """kube-router's firewall for the pods of node `node`, over iptables and ipset of its host."""

    node: str
    host: Host
    plane: ControlPlane
    program: Path
    folder: Path

    def __post_init__(self) -> None:
        self.processes = Processes(self.folder)

    def start(self) -> None:
        """Start it, and wait until it has chains of its own."""
        self.folder.mkdir()
        self.host.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")  # pods of a bridge meet there
        self.processes.start(PROGRAM, [
            *self.host.prefix, str(self.program), "--run-firewall=true", "--run-router=false",
            "--run-service-proxy=false", "--run-loadbalancer=false", f"--hostname-override={self.node}",
            f"--kubeconfig={self.plane.kubeconfig('admin')}", f"--service-cluster-ip-range={_SERVICES}",
            "--health-port=0", "--metrics-port=0", "--cache-sync-timeout=1m",
        ])  # fmt: skip
        self.processes.wait(PROGRAM, self._enforces)

    def stop(self) -> None:
        """End it; its rules go with the host."""
        self.processes.stop()

    def _enforces(self) -> bool:
        try:
            return "KUBE-ROUTER-FORWARD" in self.host.run("iptables", "-S", "FORWARD")
        except Failed:
            return False
