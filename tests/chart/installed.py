"""An installation where pods only seem to run: its commands run on this machine, with its own rights and files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import control_plane
import yaml
from apiserver_kit import Kube
from chart_kit import CHART, NAMESPACE, Helm, files

PLACES = ("/etc/umiak", "/etc/umiak-database", "/run/umiak", "/var/lib/umiak", "/tmp")
"""Where containers find volumes; longer runs of a command find folders of the test there."""


@dataclass
class Installation:
    """The release, and what of it runs as processes of this machine."""

    kube: Kube
    helm: Helm
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def install(self, values: Mapping[str, Any], chart: Path = CHART, verb: str = "install") -> str:
        """`helm install --wait` (or upgrade); returns what helm said on stderr."""
        arguments = (verb, "umiak", str(chart), "--namespace", NAMESPACE, "--wait", "--timeout", "2m")
        return self.helm.run(*arguments, values=values).stderr

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """A live object of the installation."""
        found: dict[str, Any] = json.loads(self.kube.run("get", kind, name, "-n", NAMESPACE, "-o", "json").stdout)
        return found

    def secret(self, name: str) -> dict[str, bytes]:
        """Content of a live Secret."""
        return files(self.get("secret", name))

    def kubeconfig(self, account: str) -> Path:
        """A kubeconfig that holds nothing but a token of a service account of the chart."""
        config = json.loads(self.kube.plane.kubeconfig("admin").read_text())
        token = self.kube.run("create", "token", account, "-n", NAMESPACE).stdout.strip()
        config["users"] = [{"name": "admin", "user": {"token": token}}]
        file = self.folder / f"{account}.kubeconfig"
        file.write_text(json.dumps(config))
        return file

    def command(self, deployment: str, container: str) -> list[str]:
        """A container's command with the volumes' places replaced by folders of this test."""
        spec = self.get("deployment", deployment)["spec"]["template"]["spec"]
        (line,) = [
            item["command"]
            for item in [*spec["containers"], *spec.get("initContainers", ())]
            if item["name"] == container
        ]
        return [sys.executable, *(self._moved(deployment, part) for part in line[1:])]

    def room(self, deployment: str, place: str) -> Path:
        """The folder that stands for a volume's place."""
        room = self.folder / deployment / place.strip("/").replace("/", "-")
        room.mkdir(parents=True, exist_ok=True)
        return room

    def _moved(self, deployment: str, part: str) -> str:
        for place in PLACES:
            room = self.room(deployment, place)
            if part == place or part.endswith(f"={place}") or f"{place}/" in part:
                return part.replace(place, str(room))
        return part

    def prepare(self, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the operator's init container with the operator's own rights."""
        line = self.command("umiak-operator", "installation")
        told = self.room("umiak-operator", "/etc/umiak") / "platform.yaml"
        told.write_text(self.get("configmap", "umiak-platform")["data"]["platform.yaml"])
        command = [*line, "--kubeconfig", str(self.kubeconfig("umiak-operator")), *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done

    def start_operator(self, hub: str) -> None:
        """The operator's container, told by a variable where the hub is here."""
        (port,) = control_plane.free_ports(1)
        line = self.command("umiak-operator", "operator")
        line = [f"--metrics-port={port}" if part.startswith("--metrics-port") else part for part in line]
        self.start("operator", line, "umiak-operator", {"UMIAK_OPERATOR_HUB": hub})

    def start_worker(self, role: str, endpoints: Mapping[str, str]) -> None:
        """Hub or signer: its command over its Secret's files; `endpoints` replace addresses of the cluster."""
        name = f"umiak-{role}"
        line, room = self.command(name, role), self.room(name, "/etc/umiak")
        spec = self.get("deployment", name)["spec"]["template"]["spec"]
        places = {item["name"]: item["mountPath"] for item in spec["containers"][0]["volumeMounts"]}
        for volume in spec["volumes"]:
            if "secret" in volume:
                self._write(self.room(name, places[volume["name"]]), volume["secret"])
        config = (room / "config.json").read_text()
        brought = self.room(name, "/etc/umiak-database")
        (room / "config.json").write_text(config.replace('"/etc/umiak-database/', f'"{brought}/'))
        known = json.loads((room / "endpoints.json").read_bytes())
        (room / "endpoints.json").write_text(json.dumps({**known, **endpoints}))
        self._start(role, line, {})

    def _write(self, room: Path, source: Mapping[str, Any]) -> None:
        content = self.secret(source["secretName"])
        for item in source.get("items") or [{"key": key, "path": key} for key in content]:
            (room / item["path"]).write_bytes(content[item["key"]])

    def start(self, name: str, line: list[str], account: str, more: Mapping[str, str] | None = None) -> None:
        """Start a command that talks to the API server, with nothing but an account's rights."""
        self._start(name, [*line, "--kubeconfig", str(self.kubeconfig(account))], more or {})

    def _start(self, name: str, command: list[str], more: Mapping[str, str]) -> None:
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                control_plane.tied(command), stdout=log, stderr=log, env={**os.environ, **more}
            )

    def log(self, name: str) -> Path:
        """What a process said."""
        return self.folder / f"{name}.log"

    def stop(self, *names: str) -> None:
        """End these processes, or all."""
        control_plane.end([self.running.pop(name) for name in names or tuple(self.running)])


def volume(name: str, size: str) -> dict[str, Any]:
    """A volume of a class that no provisioner serves."""
    spec = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "by-hand",
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": f"/never/used/{name}"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def restricted(name: str) -> dict[str, Any]:
    """A namespace in which PodSecurity `restricted` is enforced and warned of."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def edited(chart: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the chart whose first resource definition went through `change`, one version on."""
    shutil.copytree(chart, target)
    about = yaml.safe_load((target / "Chart.yaml").read_text())
    (target / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "0.2.0"}))
    file = target / "files" / "crds" / "jointinferences.umiak.dev.yaml"
    body = yaml.safe_load(file.read_text())
    change(body)
    file.write_text(yaml.safe_dump(body))
    return target
