"""The image that holds a pod's namespaces, made here: no registry is needed for it."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from hosts import run

NAME = "docker.io/umiak/pause:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def build(folder: Path) -> Path:
    """A docker archive with one static program; needs gcc."""
    program, archive = folder / "pause", folder / "pause.tar"
    run("gcc", "-Os", "-static", "-o", str(program), str(Path(__file__).with_name("pause.c")))
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        files.addfile(_entry("pause", program.stat().st_size, 0o755), io.BytesIO(program.read_bytes()))
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    content = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer.getvalue(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(archive, "w") as out:
        for name, data in content.items():
            out.addfile(_entry(name, len(data), 0o644), io.BytesIO(data))
    return archive


def _entry(name: str, size: int, mode: int) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode = size, mode
    return found
