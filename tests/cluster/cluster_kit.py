"""What a test does to the real cluster: install, push photos, look at answers, and write down what was measured."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import control_plane
import httpx
from cluster import Cluster, until
from containerd import Containerd
from hosts import Host

from umiak_workers.contract import routes
from umiak_workers.contract.identity import Principal, token
from umiak_workers.contract.messages import SampleInfo, SampleList
from umiak_workers.contract.wire import parse

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "docs" / "examples"
SYSTEM = "umiak-system"
FIGURES = ROOT / "build" / "cluster" / "figures.json"


def note(**figures: float | str) -> None:
    """Add to the figures that `tools/cluster/figures.py` prints."""
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps({**known, **figures}, indent=1))


def page(name: str) -> dict[str, list[str]]:
    """The shell blocks of a how-to page by heading: what a reader copies."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", (ROOT / "docs" / "howto" / name).read_text(), flags=re.MULTILINE)[1:]:
        found[section.partition("\n")[0]] = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return found


class Camera:
    """A simulated camera (camera.py), beside the test or, with `at`, on an edge's own host."""

    def __init__(self, router: str, photos: Path, out: Path, *arguments: str, at: Host | None = None) -> None:
        self.out = out / f"camera-{time.monotonic_ns()}.jsonl"
        self.out.touch()
        script = [sys.executable, str(HERE / "camera.py"), router, str(photos), str(self.out)]
        command = [*(at.prefix if at else ()), *script, *arguments]
        self.process = subprocess.Popen(control_plane.tied(command), start_new_session=True)

    def answers(self) -> list[dict[str, Any]]:
        """What it was answered so far."""
        return [json.loads(line) for line in self.out.read_text().splitlines() if line.endswith("}")]

    def finish(self, seconds: float) -> list[dict[str, Any]]:
        """Wait until its photos have run out."""
        assert self.process.wait(seconds) == 0
        return self.answers()

    def stop(self) -> list[dict[str, Any]]:
        """End it between two photos, as far as that can be told: the last photo may be answered and not written."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return self.answers()


@dataclass
class Site:
    """The cluster with an installation."""

    cluster: Cluster
    helm: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For commands as a user would type them."""
        path = f"{ROOT / '.venv' / 'bin'}:{self.cluster.plane.assets}:{self.helm.parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.cluster.plane.kubeconfig("admin"))}

    def shell(self, command: str, seconds: float = 180) -> str:
        """Run a command as a user would type it, from the checkout; its output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def get(self, kind: str, name: str, namespace: str = "yard") -> dict[str, Any]:
        """A live object."""
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def items(self, kind: str, namespace: str = "yard", *more: str) -> list[dict[str, Any]]:
        """Live objects."""
        found: list[dict[str, Any]] = json.loads(
            self.cluster.kubectl("get", kind, "-n", namespace, "-o", "json", *more)
        )["items"]
        return found

    def condition(self, kind: str, name: str, type_: str) -> Mapping[str, Any]:
        """A condition of one of our resources; empty while it is not there."""
        conditions = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == type_), {})

    @contextmanager
    def forwarded(self, what: str, namespace: str, port: int) -> Iterator[str]:
        """`kubectl port-forward`, the address at this end."""
        (here,) = control_plane.free_ports(1)
        command = [*self.cluster.kubectl.command, "port-forward", "-n", namespace, what, f"{here}:{port}"]
        process = subprocess.Popen(control_plane.tied(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"Forwarding"), f"port-forward to {what} failed"
            yield f"http://127.0.0.1:{here}"
        finally:
            control_plane.end([process])
            process.stdout.close() if process.stdout else None

    def samples(self, resource: str = "yard", namespace: str = "yard") -> list[SampleInfo]:
        """What the hub's replay store holds of a resource, oldest first."""
        key = bytes.fromhex(base64.b64decode(self.get("secret", "umiak-keys", SYSTEM)["data"]["operator.key"]).decode())
        headers = {"Authorization": f"Bearer {token(key, Principal('-', '-', '-', 'operator'))}"}
        path = routes.SAMPLES.format(namespace=namespace, resource=resource)
        found: list[SampleInfo] = []
        with self.forwarded("service/umiak-hub", SYSTEM, 8800) as hub, httpx.Client(trust_env=False) as client:
            while True:
                query = {"after": found[-1].position if found else 0, "limit": 500}
                reply = client.get(hub + path, params=query, headers=headers)
                reply.raise_for_status()
                page = parse(SampleList, reply.content).samples
                if not page:
                    return found
                found += page

    def gone(self, namespace: str = "yard") -> bool:
        """Whether nothing of ours is left in a namespace."""
        kinds = "deployments,replicasets,pods,jobs,secrets,services,persistentvolumeclaims"
        return not self.items(kinds, namespace)

    def first_answer(self, camera: Camera, seconds: float = 120) -> float:
        """Wait for a camera's first answer; seconds since the epoch at which it came."""
        until(lambda: bool(camera.answers()), seconds, "no answer came: ", lambda: self.pods())
        line = camera.answers()[0]
        return float(line["began"]) + float(line["seconds"])

    def resident_mebibytes(self, edge: Containerd) -> float:
        """Resident memory of all containers of an edge's pods."""
        return edge.memory("yard-edge-") / 2**20

    def runs(self, camera: Camera) -> str:
        """Digest of the model of a camera's last answer; empty before the first."""
        answers = camera.answers()
        return str(answers[-1]["answer"]["model"]) if answers else ""

    def pods(self) -> str:
        """All pods, for a message."""
        return self.cluster.kubectl("get", "pods", "-A", "-o", "wide")
