"""Images as a kubelet starts them: run by runc with a read-only root file system and no capabilities."""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
USER = 65532
QEMU = "/usr/bin/qemu-aarch64-static"
CORTEX = Path(__file__).resolve().parent / "cortex-a72.txt"
"""What /proc/cpuinfo says on a Raspberry Pi 4; programs for ARM misread the one of an x86."""


def absent(what: str) -> NoReturn:
    """A named skip on somebody's machine, a failure where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"missing {what}")
    pytest.skip(f"needs {what}")


@dataclass(frozen=True)
class Unpacked:
    """One image: its archive, its root file system and its config."""

    name: str
    arch: str
    archive: Path
    root: Path
    config: Mapping[str, Any]
    tags: tuple[str, ...]
    size: int

    @classmethod
    def of(cls, archive: Path, root: Path) -> "Unpacked":
        """Unpack an archive into a new folder."""
        name, arch = archive.stem.rsplit("-", 1)
        root.mkdir(parents=True)
        size = 0
        with tarfile.open(archive) as saved:
            (manifest,) = json.load(_content(saved, "manifest.json"))
            config = json.load(_content(saved, manifest["Config"]))
            for layer in manifest["Layers"]:
                size += saved.getmember(layer).size
                with tarfile.open(fileobj=_content(saved, layer)) as files:
                    assert not any(Path(entry.name).name.startswith(".wh.") for entry in files.getmembers())
                _unpack(_content(saved, layer), root)
        return cls(name, arch, archive, root, config, tuple(manifest["RepoTags"]), size)

    def bill(self) -> dict[str, Any]:
        """Its bill of materials."""
        return dict(json.loads(self.archive.with_suffix(".sbom.json").read_text()))

    def files(self) -> list[Path]:
        """All of its files, links aside."""
        return [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]

    def box(self, folder: Path, *command: str, mounts: Mapping[str, Path] | None = None) -> "Box":
        """A container that is not started; `mounts`: path inside -> writable folder outside."""
        return Box(self, folder, command, dict(mounts or {}))

    def run(self, folder: Path, *command: str, seconds: float = 240) -> str:
        """What a command prints; fails unless it ends with 0."""
        box = self.box(folder, *command)
        done = subprocess.run(box.command(), capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, f"{self.name}: {' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout


@dataclass
class Box:
    """One container. Its network is the machine's own, so that a test can reach it on loopback."""

    image: Unpacked
    folder: Path
    arguments: Sequence[str]
    mounts: dict[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """runc's name for it."""
        return f"umiak-{os.getpid()}-{self.folder.name}"

    def command(self) -> list[str]:
        """The line that runs it in the foreground."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(self._spec()))
        return [*self._runc(), "run", "--bundle", str(self.folder), self.name]

    def kill(self) -> None:
        """End it, if it runs."""
        subprocess.run([*self._runc(), "delete", "--force", self.name], capture_output=True)

    def _runc(self) -> list[str]:
        return ["runc", "--root", str(self.folder / "runc")]

    def _spec(self) -> dict[str, Any]:
        config = self.image.config["config"]
        uid, gid = (int(part) for part in config["User"].split(":"))
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
        ]
        for inside, outside in self.mounts.items():
            mounts.append({"destination": inside, "type": "bind", "source": str(outside), "options": ["rbind", "rw"]})
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": [*_emulated(self.image.arch), *self.arguments],
                "env": [*config["Env"], *_processor(self.image.arch)],
                "cwd": config.get("WorkingDir") or "/",
                "noNewPrivileges": True,
                "capabilities": {},
            },
            "root": {"path": str(self.image.root), "readonly": True},
            "mounts": mounts + _emulator(self.image.arch),
            "linux": {"namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")]},
        }


def engine_or_absent() -> None:
    """Skip or fail where images cannot be built and run."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        absent("root on Linux to run containers")
    if not shutil.which("runc"):
        absent("runc (apt-get install runc)")


def built(arch: str, *roles: str) -> dict[str, Path]:
    """Archives by role, built if need be."""
    command = [str(ROOT / "tools/images/build.py"), "--arch", arch, *roles]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "images: needs " in done.stderr:
        absent(done.stderr.split("images: needs ", 1)[1].strip())
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    return {path.stem.rsplit("-", 1)[0]: path for path in paths}


def _unpack(layer: Any, root: Path) -> None:
    """tar keeps modes and owners in every version."""
    with subprocess.Popen(["tar", "-x", "-p", "--numeric-owner", "-C", str(root)], stdin=subprocess.PIPE) as tar:
        assert tar.stdin is not None
        shutil.copyfileobj(layer, tar.stdin, 1 << 20)
    assert tar.returncode == 0


def _content(tar: tarfile.TarFile, name: str) -> Any:
    found = tar.extractfile(name)
    assert found is not None, name
    return found


def _emulated(arch: str) -> list[str]:
    """Emulation by hand: the kernel needs to know nothing of it."""
    return ["/dev/emulator"] if arch == "arm64" else []


def _processor(arch: str) -> list[str]:
    """The oldest processor of our device profiles' kind: newer instructions end the process."""
    return ["QEMU_CPU=cortex-a72"] if arch == "arm64" else []


def _emulator(arch: str) -> list[dict[str, Any]]:
    if arch != "arm64":
        return []
    files = {"/dev/emulator": QEMU, "/proc/cpuinfo": str(CORTEX)}
    return [
        {"destination": at, "type": "bind", "source": file, "options": ["bind", "ro"]} for at, file in files.items()
    ]
