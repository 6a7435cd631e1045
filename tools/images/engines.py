"""What turns a Dockerfile into an image: docker, podman or buildah."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shell import Missing, run

NAMES: Final = ("docker", "podman", "buildah")
_ISOLATION: Final = ("--isolation", "chroot")
"""No Dockerfile here runs anything, so nothing has to be isolated; and inside a container one may be impossible."""


@dataclass(frozen=True)
class Engine:
    """One of NAMES."""

    name: str
    store: Path
    """A folder of its own for images; only buildah and podman use it."""

    def build(self, folder: Path, dockerfile: Path, arch: str, name: str, arguments: Mapping[str, str]) -> None:
        """Build an image from a context folder."""
        given = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
        own = {
            "docker": ("build",),
            "podman": ("build", *_ISOLATION),
            "buildah": ("bud", *_ISOLATION, "--timestamp", "0"),
        }
        command = [*self._command(), *own[self.name], "--platform", f"linux/{arch}", *given]
        if self.name != "docker":
            command += ["--layers", "--pull=missing" if self.name == "podman" else "--pull=true"]
        run([*command, "--tag", name, "--file", dockerfile, folder], f"building {name}")

    def has(self, name: str) -> bool:
        """Whether an image is still there."""
        asks = ("inspect", "--type", "image") if self.name == "buildah" else ("image", "inspect")
        return subprocess.run([*self._command(), *asks, name], capture_output=True).returncode == 0

    def save(self, name: str, archive: Path) -> None:
        """Write an image as `docker save` does."""
        archive.unlink(missing_ok=True)
        if self.name == "buildah":
            run([*self._command(), "push", "--quiet", name, f"docker-archive:{archive}:{name}"], f"saving {name}")
        else:
            extra = ("--format", "docker-archive") if self.name == "podman" else ()
            run([*self._command(), "save", *extra, "--output", archive, name], f"saving {name}")

    def tidy(self) -> None:
        """Forget what newer builds have replaced; docker's images are not ours to judge."""
        if self.name == "buildah":
            run([*self._command(), "rmi", "--prune", "--force"], "tidying")
        elif self.name == "podman":
            run([*self._command(), "image", "prune", "--force"], "tidying")

    def push(self, archives: Mapping[str, Path], name: str, remote: str, plain_http: bool) -> None:
        """Push archives, by architecture, as one image `remote`."""
        if self.name == "docker":
            self._docker_push(archives, name, remote, ("--insecure",) if plain_http else ())
            return
        local = f"pushing-{remote.rpartition('/')[2]}"
        subprocess.run([*self._command(), "rmi", local], capture_output=True)  # what a push that failed left behind
        run([*self._command(), "manifest", "create", local], f"listing {name}")
        for archive in archives.values():
            run([*self._command(), "manifest", "add", local, f"docker-archive:{archive}:{name}"], f"listing {name}")
        secure = () if not plain_http else ("--tls-verify=false",)
        run([*self._command(), "manifest", "push", *secure, "--all", local, f"docker://{remote}"], f"pushing {name}")
        run([*self._command(), "rmi", local], f"forgetting {name}")

    def _docker_push(self, archives: Mapping[str, Path], name: str, remote: str, how: Sequence[str]) -> None:
        parts = [f"{remote}-{arch}" for arch in archives]
        for part, archive in zip(parts, archives.values(), strict=True):
            run(["docker", "load", "--input", archive], f"loading {name}")
            run(["docker", "tag", name, part], f"naming {name}")
            run(["docker", "push", part], f"pushing {name}")
        run(["docker", "manifest", "create", *how, "--amend", remote, *parts], f"listing {name}")
        run(["docker", "manifest", "push", *how, "--purge", remote], f"pushing {name}")

    def _command(self) -> list[str]:
        if self.name == "docker":
            return ["docker"]
        places = ["--root", str(self.store / "root"), "--runroot", str(self.store / "run")]
        return [self.name, *places, "--storage-driver", "overlay"]


def engine(wanted: str | None, store: Path) -> Engine:
    """The named engine, or the first that answers. Raises Missing."""
    if wanted:
        return Engine(wanted, store)
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return Engine("docker", store)
    for name in NAMES[1:]:
        if shutil.which(name):
            return Engine(name, store)
    raise Missing("needs docker with a running daemon, podman or buildah: as root apt-get install buildah")


def finish(archive: Path, target: Path, names: Sequence[str]) -> int:
    """Rewrite a saved image so that its bytes depend on content and names alone; returns the size of its layers."""
    size = 0
    part = target.with_suffix(".part")
    with tarfile.open(archive) as saved, tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as out:
        (manifest,) = json.loads(_content(saved, "manifest.json"))
        _add(out, "config.json", _content(saved, manifest["Config"]))
        layers = []
        for layer in manifest["Layers"]:
            found = _followed(saved, layer)
            entry = tarfile.TarInfo(f"layer-{len(layers)}.tar")
            entry.size = found.size
            out.addfile(entry, saved.extractfile(found))
            layers.append(entry.name)
            size += found.size
        told = [{"Config": "config.json", "RepoTags": list(names), "Layers": layers}]
        _add(out, "manifest.json", json.dumps(told).encode())
    part.rename(target)
    archive.unlink()
    return size


def _followed(tar: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """A member, or what it links to: docker saves a layer once."""
    found = tar.getmember(name)
    while found.issym() or found.islnk():
        near = os.path.dirname(found.name) if found.issym() else ""
        found = tar.getmember(os.path.normpath(os.path.join(near, found.linkname)))
    return found


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    found = tar.extractfile(name)
    if found is None:
        raise Missing(f"a saved image lacks {name}")
    return found.read()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
