"""A real, small Kubernetes control plane in a temporary folder: etcd, API server, controllers, scheduler, kwok.

    .venv/bin/python tools/kube/control_plane.py FOLDER       runs until Ctrl-C and says which kubeconfig to use

Used by tests/apiserver, and by hand. It is real where the operator meets it (schema, CEL, admission, RBAC, apply,
garbage collection); only kubelets are simulated: kwok brings pods to Ready and Jobs to their end.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

OPERATOR = "umiak-operator"
_PATIENCE = 180.0
_GRACE = 3.0
"""seconds between SIGTERM and SIGKILL"""
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [OPERATOR]}, {"level": "None"}],
}


class Broken(Exception):
    """A part of the control plane did not come up; the text ends with the last lines of its log."""


@dataclass
class ControlPlane:
    """One control plane under `folder`, from the binaries in `assets`. Not started before `start`."""

    assets: Path
    folder: Path
    tokens: Mapping[str, str] = field(
        default_factory=lambda: {"admin": secrets.token_hex(16), OPERATOR: secrets.token_hex(16)}
    )
    address: str = "127.0.0.1"
    """Where the API server listens."""
    prefix: tuple[str, ...] = ()
    """What runs a program where the control plane is to be, for example in a network namespace."""
    nodes: bool = False
    """Whether real nodes are to join: then pods reach the API server, and it reaches kubelets.

    Pods of a node that is gone are deleted after one minute, not five, unless they tolerate it.
    """
    url: str = ""
    _running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(self) -> None:
        """Start etcd and the API server, and return once it is ready; raises Broken."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_files()
        client, peer, secure = free_ports(3)
        etcd = f"http://127.0.0.1:{client}"
        self._run("etcd", [
            f"--data-dir={self.folder}/etcd", "--unsafe-no-fsync", f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}",
        ])  # fmt: skip
        self.url = f"https://{self.address}:{secure}"
        self._run("kube-apiserver", [
            f"--etcd-servers={etcd}", f"--bind-address={self.address}", f"--secure-port={secure}",
            f"--cert-dir={self.folder}/pki", f"--token-auth-file={self.folder}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self.folder}/sa.pub",
            f"--service-account-signing-key-file={self.folder}/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16", "--profiling=false", *self._for_nodes(),
            f"--audit-policy-file={self.folder}/audit-policy.json", f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",
        ])  # fmt: skip
        self._wait_ready()
        for user in self.tokens:
            self._write_kubeconfig(user)

    def _for_nodes(self) -> list[str]:
        if not self.nodes:
            return ["--authorization-mode=RBAC", "--endpoint-reconciler-type=none"]
        return [
            "--authorization-mode=Node,RBAC", "--endpoint-reconciler-type=lease", "--allow-privileged=true",
            f"--advertise-address={self.address}", f"--client-ca-file={self.folder}/kubelet-client.crt",
            f"--kubelet-client-certificate={self.folder}/kubelet-client.crt",
            f"--kubelet-client-key={self.folder}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--default-unreachable-toleration-seconds=60", "--default-not-ready-toleration-seconds=60",
        ]  # fmt: skip

    def start_controllers(self) -> None:
        """Start controllers, scheduler and kwok. Custom resources defined before this are garbage collected at once.

        A busy machine can starve kwok's heartbeats for a minute; no simulated node is called NotReady for that.
        """
        kubeconfig, (manager, scheduler, kwok) = self.kubeconfig("admin"), free_ports(3)
        quick = ["--leader-elect=false", "--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false"]
        self._run("kube-controller-manager", [
            f"--kubeconfig={kubeconfig}", "--bind-address=127.0.0.1", f"--secure-port={manager}", *quick,
            "--use-service-account-credentials=false", f"--service-account-private-key-file={self.folder}/sa.key",
            f"--root-ca-file={self.folder}/pki/apiserver.crt",
            *([] if self.nodes else ["--node-monitor-grace-period=1h"]),
        ])  # fmt: skip
        self._run("kube-scheduler", [
            f"--kubeconfig={kubeconfig}", "--bind-address=127.0.0.1", f"--secure-port={scheduler}", *quick,
        ])  # fmt: skip
        if not self.nodes:
            self._run("kwok", [
                f"--kubeconfig={kubeconfig}", "--manage-all-nodes=true", f"--server-address=127.0.0.1:{kwok}",
            ])  # fmt: skip

    def restart_api_server(self, away: float) -> None:
        """Kill the API server without warning and start it again after `away` seconds, over the same etcd."""
        number = next(at for at, (name, _) in enumerate(self._running) if name == "kube-apiserver")
        _, process = self._running.pop(number)
        process.kill()
        command = [str(part) for part in process.args] if isinstance(process.args, list) else []
        process.wait()
        time.sleep(away)
        with (self.folder / "kube-apiserver.log").open("ab") as log:
            again = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        self._running.insert(number, ("kube-apiserver", again))
        self._wait_ready()

    def stop(self) -> None:
        """Stop all, clients before the server they talk to; whoever needs longer than 3 s is killed."""
        servers = [item for item in self._running if item[0] in ("kube-apiserver", "etcd")]
        clients = [item for item in self._running if item not in servers]
        for group in (clients, servers[1:], servers[:1]):
            end([process for _, process in group])
        self._running.clear()

    @property
    def audit_log(self) -> Path:
        """Every request of the operator's user, one JSON event per line, written before the response is."""
        return self.folder / "audit.log"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a user in `tokens`."""
        return self.folder / f"{user}.kubeconfig"

    def _run(self, name: str, arguments: list[str]) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        with log:
            command = tied([*self.prefix, str(self.assets / name), *arguments])
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        self._running.append((name, process))

    def _write_files(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        rows = [f"{token},{user},{user},{_group(user)}" for user, token in self.tokens.items()]
        files = {"sa.key": private, "sa.pub": public, "tokens.csv": "\n".join(rows).encode() + b"\n"}
        files["audit-policy.json"] = json.dumps(_AUDIT).encode()
        if self.nodes:
            files |= dict(zip(("kubelet-client.key", "kubelet-client.crt"), _client_certificate(), strict=True))
        for name, data in files.items():
            (self.folder / name).touch(mode=0o600)
            (self.folder / name).write_bytes(data)

    def _write_kubeconfig(self, user: str) -> None:
        cluster = {"server": self.url, "certificate-authority": f"{self.folder}/pki/apiserver.crt"}
        text = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "umiak", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": user, "context": {"cluster": "umiak", "user": user}}],
            "current-context": user,
        }
        file = self.kubeconfig(user)
        file.touch(mode=0o600)
        file.write_text(json.dumps(text, indent=1))

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._ready():
            ended = next((name for name, process in self._running if process.poll() is not None), None)
            name = ended or ("kube-apiserver" if time.monotonic() > deadline else None)
            if name:
                tail = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
                self.stop()
                raise Broken(f"{name} did not come up:\n" + "\n".join(tail))
            time.sleep(0.1)

    def _ready(self) -> bool:
        certificate = self.folder / "pki" / "apiserver.crt"
        if not certificate.exists():
            return False
        request = urllib.request.Request(
            f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.tokens['admin']}"}
        )
        try:
            context = ssl.create_default_context(cafile=str(certificate))
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _group(user: str) -> str:
    if user.startswith("system:node:"):
        return "system:nodes"
    return "system:masters" if user == "admin" else ""


def _client_certificate() -> tuple[bytes, bytes]:
    """Key and self-signed certificate, PEM, with which the API server comes to kubelets (for logs and exec)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
        x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver-kubelet-client"),
    ])  # fmt: skip
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, made.public_bytes(serialization.Encoding.PEM)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """SIGTERM to all, SIGKILL after 3 s to those that are still there; reaps them."""
    waiting = list(processes)
    for process in waiting:
        process.terminate()
    deadline = time.monotonic() + _GRACE
    for process in waiting:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tied(command: list[str]) -> list[str]:
    """The command, ended by the kernel when its parent is: no process outlives a test run that was killed."""
    wrapper = shutil.which("setpriv")
    return [wrapper, "--pdeathsig", "KILL", *command] if wrapper else command


def main() -> int:
    """Run one by hand until Ctrl-C."""
    import provision

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="umiak-kube-")).resolve()
    plane, stop = ControlPlane(provision.provision(), folder), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        plane.start()
        crds = str(Path(__file__).resolve().parents[2] / "crds")
        environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig("admin"))}
        subprocess.run([str(plane.assets / "kubectl"), "apply", "-f", crds], env=environment, check=True)
        plane.start_controllers()
        print(f"ready: export KUBECONFIG={plane.kubeconfig('admin')}  (Ctrl-C ends it)", flush=True)
        stop.wait()
    finally:
        plane.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
