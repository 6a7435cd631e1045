"""A pod's volumes as real folders, its Secrets as files, its endpoint map as it is on this machine."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from umiak_operators.plan import names
from umiak_operators.runtime.local.files import make_private, write_private
from umiak_operators.runtime.local.folders import Folders
from umiak_operators.runtime.local.ports import PortBook
from umiak_operators.runtime.local.process import Launch
from umiak_operators.runtime.local.template import ContainerSpec, PodSpec, Volume, in_folders, pod_id
from umiak_workers.contract import endpoints
from umiak_workers.contract.config import ENDPOINTS_FILE
from umiak_workers.contract.errors import ConfigError

Secrets = Mapping[tuple[str, str], Mapping[str, bytes]]
"""(namespace, name) -> key -> bytes."""
_BEHIND_OTHERS = 10
"""Niceness of a Job: it must not slow down what answers."""


class Rooms:
    """Furnishes pods: folders, files, addresses."""

    def __init__(self, folders: Folders, ports: PortBook, outside: Mapping[str, str]) -> None:
        """`outside`: symbolic endpoint -> URL of what every pod may reach (`umiak://hub`, `umiak://broker`)."""
        self._folders = folders
        self._ports = ports
        self._outside = dict(outside)

    def furnish(self, pod: PodSpec, secrets: Secrets) -> None:
        """Make every folder and write every file of the pod's Secrets, with addresses as they are here."""
        for volume in pod.volumes:
            folder = make_private(self.folder(pod, volume))
            if volume.kind == "secret":
                self._write_secret(pod, volume, folder, secrets)

    def clear(self, pod: str) -> None:
        """Drop what goes with a pod: its config files and scratch space."""
        shutil.rmtree(self._folders.pod(pod), ignore_errors=True)

    def forget(self, pod: str) -> None:
        """The pod is gone for good: its ports may be given to others."""
        self._ports.drop(pod)

    def folder(self, pod: PodSpec, volume: Volume) -> Path:
        """The real folder of a volume."""
        if volume.kind == "host":
            return Path(volume.source)
        if volume.kind == "claim":
            return self._folders.volumes / "claims" / pod.namespace / volume.source
        return self._folders.pod(pod.id) / volume.name

    def launch(self, pod: PodSpec, container: ContainerSpec) -> Launch:
        """How to start one container: mount paths in its command become folders, `python3` this interpreter."""
        volumes = {volume.name: volume for volume in pod.volumes}
        places = [
            (mount.path, str(self.folder(pod, volumes[mount.volume]) / mount.sub_path)) for mount in container.mounts
        ]
        argv = [in_folders(part, places) for part in container.argv]
        scratch = make_private(self._folders.pod(pod.id) / "tmp")
        own = {name: in_folders(value, places) for name, value in container.env}
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **own, "TMPDIR": str(scratch)}
        program = sys.executable if argv[0] in ("python3", "python") else argv[0]
        niceness = _BEHIND_OTHERS if pod.kind == "Job" else 0
        return Launch((program, *argv[1:]), env, self._folders.pod(pod.id), niceness)

    def address(self, pod: PodSpec, container: ContainerSpec) -> str | None:
        """The URL of the container's own listener; None for one that only dials out."""
        if not container.probed:
            return None
        return self._outside.get(f"umiak://{container.role}") or self._ports.url(pod.id, container.role)

    def cloud_url(self, namespace: str, resource: str) -> str:
        """Where the cloud worker of a JointInference listens."""
        return self._ports.url(pod_id(namespace, names.cloud_pod(resource)), "cloud")

    def local_map(self, pod: PodSpec, text: bytes) -> bytes:
        """An endpoint map with every symbol that has an address on this machine pointing there."""
        known = dict(endpoints.Endpoints.parse(text).known)
        own = {item.role: self.address(pod, item) for item in pod.containers}
        for symbol in known:
            known[symbol] = self._resolve(symbol, own) or known[symbol]
        return json.dumps(known, indent=1, sort_keys=True).encode()

    def _resolve(self, symbol: str, own: Mapping[str, str | None]) -> str | None:
        kind, _, rest = symbol.removeprefix("umiak://").partition("/")
        if kind in ("listen", "pod"):
            return own.get(rest)
        if kind == "cloud":
            namespace, _, resource = rest.partition("/")
            return self.cloud_url(namespace, resource)
        return self._outside.get(symbol)

    def _write_secret(self, pod: PodSpec, volume: Volume, folder: Path, secrets: Secrets) -> None:
        data = secrets.get((pod.namespace, volume.source))
        if data is None:
            raise ConfigError(
                f"pod {pod.id}: there is no Secret {volume.source}; this runtime has those alone that plans make"
            )
        try:
            items = volume.items if volume.items is not None else tuple((key, key) for key in data)
            files = {path: data[key] for key, path in items}
        except KeyError as error:
            raise ConfigError(f"pod {pod.id}: Secret {volume.source} lacks {error}") from error
        for path, content in files.items():
            write_private(folder / path, self.local_map(pod, content) if path == ENDPOINTS_FILE else content)
