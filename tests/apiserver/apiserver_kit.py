"""What the tests of this folder share: the administrator's client, the operator as a process, resources to apply."""

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import control_plane
import httpx
import pytest
import yaml
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[2]
DIGESTS = [f"sha256:{number:064x}" for number in range(16)]
_TRY = {"dryRun": "All", "fieldValidation": "Strict"}
MUTATING = ("create", "update", "patch", "delete", "deletecollection")


@dataclass
class Kube:
    """The administrator: kubectl as a person types it, and plain HTTP for the many small looks of a test."""

    plane: control_plane.ControlPlane
    http: httpx.Client

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """kubectl; fails the test with its own words unless `check` is False."""
        command = [str(self.plane.assets / "kubectl"), *arguments]
        environment = {**os.environ, "KUBECONFIG": str(self.plane.kubeconfig("admin"))}
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, timeout=120)
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done

    def apply(self, *bodies: Mapping[str, Any]) -> None:
        """kubectl apply of objects."""
        self.run("apply", "-f", "-", stdin=yaml.safe_dump_all([dict(body) for body in bodies]))

    def refused(self, body: Mapping[str, Any]) -> str:
        """What the API server says of a new object that it must not take (nothing is stored)."""
        plural = {"JointInference": "jointinferences", "LifelongLearning": "lifelonglearnings"}.get(body["kind"])
        place = path(plural or "modelpatches", body["metadata"]["namespace"])
        return self._message(self.http.post(place, params=_TRY, json=dict(body)))

    def refused_change(self, place: str, body: Mapping[str, Any]) -> str:
        """What the API server says of a merge patch that it must not take (nothing is stored)."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._message(self.http.patch(place, params=_TRY, content=json.dumps(body), headers=headers))

    @staticmethod
    def _message(answer: httpx.Response) -> str:
        assert answer.status_code in (400, 422), f"was taken or failed otherwise: {answer.status_code} {answer.text}"
        return str(answer.json()["message"])

    def get(self, path: str) -> dict[str, Any] | None:
        """A live object by API path, or None."""
        answer = self.http.get(path)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def items(self, path: str, labels: str = "") -> list[dict[str, Any]]:
        """A collection by API path."""
        answer = self.http.get(path, params={"labelSelector": labels} if labels else {})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def names(self, path: str, labels: str = "") -> list[str]:
        """Sorted names of a collection."""
        return sorted(item["metadata"]["name"] for item in self.items(path, labels))

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """A person's merge patch."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self.http.patch(path, content=json.dumps(body), headers=headers).raise_for_status()

    def delete(self, path: str) -> None:
        """Delete an object."""
        self.http.delete(path).raise_for_status()

    def condition(self, path: str, kind: str) -> tuple[str, str, str]:
        """(status, reason, message) of a condition; empty strings until it is there."""
        body = self.get(path) or {}
        for item in body.get("status", {}).get("conditions", ()):
            if item["type"] == kind:
                return item["status"], item["reason"], item["message"]
        return "", "", ""

    def node(self, name: str, labels: Mapping[str, str]) -> None:
        """A node, kept Ready by kwok."""
        self.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": dict(labels)}})

    def audit(self, offset: int = 0) -> list[dict[str, Any]]:
        """What the operator's user asked for since a position of the audit log (bytes)."""
        with self.plane.audit_log.open("rb") as handle:
            handle.seek(offset)
            return [json.loads(line) for line in handle]

    def audit_end(self) -> int:
        """The position of now in the audit log."""
        return self.plane.audit_log.stat().st_size if self.plane.audit_log.exists() else 0

    def decided(self, offset: int, decision: str) -> set[str]:
        """Requests that authorization allowed (`allow`) or not (`forbid`); a starting server forbids for a moment."""
        key = "authorization.k8s.io/decision"
        events = [event for event in self.audit(offset) if event["annotations"].get(key) == decision]
        return {f"{event['verb']} {event['requestURI'].partition('?')[0]}" for event in events}

    def writes(self, offset: int = 0) -> list[str]:
        """The operator's mutating requests since a position."""
        return [f"{e['verb']} {e['requestURI']}" for e in self.audit(offset) if e["verb"] in MUTATING]


def eventually(check: Callable[[], Any], seconds: float = 40.0, what: str = "") -> Any:
    """The first truthy answer of `check`; fails the test with the last answer after `seconds`."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        last = check()
        if last:
            return last
        time.sleep(0.15)
    pytest.fail(f"not within {seconds:.0f} s: {what or check}; last seen: {last!r}")


@dataclass
class Operator:
    """The operator as a process of its own, with its own user and rights."""

    plane: control_plane.ControlPlane
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it says on stderr what it does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        platform = self.folder / "platform.yaml"
        platform.write_text(yaml.safe_dump(self.settings))
        arguments = ["--kubeconfig", str(self.plane.kubeconfig(control_plane.OPERATOR)), "--platform", str(platform)]
        command = [sys.executable, "-m", "umiak_operators.cli.operator", *arguments, "--state", str(self.folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(control_plane.tied(command), stdout=log, stderr=log)

    def stop(self) -> float:
        """SIGTERM; returns seconds until it was gone. A traceback in its log fails the test."""
        assert self.process is not None
        assert self.process.poll() is None, f"the operator ended by itself: {self.tail()}"
        started = time.monotonic()
        control_plane.end([self.process])
        code, self.process = self.process.returncode, None
        assert "Traceback" not in self.log.read_text(), self.tail()
        assert code == 0, f"exit code {code}: {self.tail()}"
        return time.monotonic() - started

    @property
    def log(self) -> Path:
        """Its stderr."""
        return self.folder / "operator.log"

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text().splitlines()[-30:])


class Process:
    """A worker role as a real process with its folder of config files; its state survives it."""

    def __init__(
        self,
        role: str,
        folder: Path,
        config: BaseModel,
        endpoints: Mapping[str, str],
        token: str,
        keys: Mapping[str, bytes],
    ) -> None:
        self.role, self.folder, self.process = role, folder, None  # type: ignore[var-annotated]
        folder.mkdir(parents=True)
        files = {"config.json": config.model_dump_json().encode(), "token": token.encode(), **keys}
        files["endpoints.json"] = json.dumps(dict(endpoints)).encode()
        for name, data in files.items():
            (folder / name).write_bytes(data)

    def start(self) -> None:
        """Start it (again)."""
        line = [sys.executable, "-m", f"umiak_workers.{self.role}", "--config", f"{self.folder}/config.json"]
        with (self.folder / "log").open("ab") as log:
            command = control_plane.tied([*line, "--state", f"{self.folder}/state"])
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        control_plane.end([self.process])


def rights() -> list[dict[str, Any]]:
    """docs/reference/rbac.yaml, bound to the operator's user of these tests."""
    found = list(yaml.safe_load_all((ROOT / "docs" / "reference" / "rbac.yaml").read_text()))
    binding = next(item for item in found if item["kind"] == "ClusterRoleBinding")
    binding["subjects"] = [{"kind": "User", "name": control_plane.OPERATOR, "apiGroup": "rbac.authorization.k8s.io"}]
    return found


def client(plane: control_plane.ControlPlane) -> httpx.Client:
    """HTTP as the administrator."""
    context = ssl.create_default_context(cafile=str(plane.folder / "pki" / "apiserver.crt"))
    headers = {"Authorization": f"Bearer {plane.tokens['admin']}"}
    return httpx.Client(base_url=plane.url, verify=context, headers=headers, timeout=30, trust_env=False)


def joint_inference(namespace: str, name: str = "yard", **changes: Any) -> dict[str, Any]:
    """A small valid JointInference; `changes` replace parts of its spec."""
    spec: dict[str, Any] = {
        "edge": {
            "model": {"line": name, "uri": "builtin:yard-edge", "digest": DIGESTS[1]},
            "nodes": {"matchLabels": {"site": "yard"}},
            "source": {"http": {}},
        },
        "cloud": {"labeller": {"uri": "builtin:yard-labeller", "digest": DIGESTS[2]}},
        "hardExamples": {"miners": [{"miner": "ScoreMargin", "budget": 0.3}]},
    }
    return custom("JointInference", namespace, name, {**spec, **changes})


def custom(kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A custom resource of ours."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "umiak.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": dict(spec)}


def path(plural: str, namespace: str, name: str = "") -> str:
    """API path of a namespaced object or collection that these tests look at."""
    groups = {"deployments": "/apis/apps/v1", "jobs": "/apis/batch/v1"}
    ours = ("jointinferences", "lifelonglearnings", "modelpatches")
    root = "/apis/umiak.dev/v1alpha1" if plural in ours else groups.get(plural, "/api/v1")
    return f"{root}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")
