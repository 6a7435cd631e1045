"""Trees of Python packages for a machine that may not be this one: locked wheels by hash, and the product's own."""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bill import Component
from roles import PYTHON
from shell import Missing, run

ROOT: Final = Path(__file__).resolve().parents[2]
PLATFORMS: Final = {"amd64": "x86_64-manylinux_2_36", "arm64": "aarch64-manylinux_2_36"}
SOURCES: Final = ("pyproject.toml", "README.md", "LICENSE", "operators", "workers")
"""What the product's wheel is made of."""
_UNWANTED: Final = (
    ".lock",
    "bin",
    "include",
    "share",
    "*/tests",
    "*/*/tests",
    "onnx/backend/test",
    "torch/include",
    "torch/share",
    "torch/bin/protoc*",
)
_UNWANTED_ANYWHERE: Final = ("*.a", "*.pyi", "*.pyx", "*.pxd")


def uv() -> str:
    """The uv program. Raises Missing."""
    own = ROOT / ".venv/bin/uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if not found:
        raise Missing("needs uv: make setup-dev, or pip install uv")
    return found


def third_party(lock: Path, arch: str, folder: Path) -> None:
    """Install what a lock file lists into an empty folder. Its files may be uv's cached ones: never write to one."""
    command: list[str | Path] = [uv(), "pip", "install", "--quiet", "--target", folder, "--only-binary", ":all:"]
    command += ["--python-platform", PLATFORMS[arch], "--python-version", PYTHON, "--no-deps", "--require-hashes"]
    run([*command, "-r", lock], f"installing {lock.name} for {arch}")


def product(wheels: Path, folder: Path) -> None:
    """The product's own wheel, built anew and unpacked into an empty folder."""
    python = ROOT / ".venv/bin/python"
    if not python.exists():
        raise Missing("needs the environment of this checkout to build the product's wheel: make setup-dev")
    shutil.rmtree(wheels, ignore_errors=True)
    here = {**os.environ, "SOURCE_DATE_EPOCH": "315532800", "PYTHONDONTWRITEBYTECODE": "1"}
    command = f"import os, hatchling.build as b; os.makedirs({str(wheels)!r}); b.build_wheel({str(wheels)!r})"
    done = subprocess.run([python, "-c", command], cwd=ROOT, env=here, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"building the product's wheel failed: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder)


def prune(folder: Path, more: Iterable[str] = ()) -> None:
    """Take away what a running container never opens."""
    for pattern in (*_UNWANTED, *more):
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for pattern in _UNWANTED_ANYWHERE:
        for path in folder.rglob(pattern):
            path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def compile_all(folder: Path, inside: str) -> None:
    """Write bytecode, since a container cannot: without it each start and each probe compiles everything again.

    The same for the same source: it is never compared with its source's time. `inside`: the folder's path in the image.
    """
    command = [
        _python(),
        "-m",
        "compileall",
        "-q",
        "-f",
        "-j",
        "2",
        "--invalidation-mode",
        "unchecked-hash",
        "-x",
        "py31[2-9]_",
    ]
    run([*command, "-s", folder, "-p", inside, folder], "compiling Python")


def digest_of(paths: Sequence[Path]) -> str:
    """One digest over files' names and contents, and over whole folders without caches."""
    found = hashlib.sha256()
    for path in paths:
        inner = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inner:
            if file.is_file() and "__pycache__" not in file.parts:
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                found.update(f"{file.relative_to(ROOT)} {content}\n".encode())
    return found.hexdigest()


def listed(folder: Path) -> list[Component]:
    """The distributions in a tree."""
    found = []
    for path in sorted(folder.glob("*.dist-info/METADATA")):
        text = path.read_text(errors="replace")
        fields = dict(
            re.findall(r"^(Name|Version|License-Expression|License): (.+)$", text.split("\n\n", 1)[0], re.MULTILINE)
        )
        licence = fields.get("License-Expression") or fields.get("License", "")
        found.append(Component("pypi", fields["Name"], fields["Version"], licence=licence))
    return found


def _python() -> str:
    test = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{PYTHON}' or sys.implementation.name != 'cpython')"
    for name in (str(ROOT / ".venv/bin/python"), f"python{PYTHON}", "python3"):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", test], capture_output=True).returncode == 0:
            return path
    raise Missing(f"needs a Python {PYTHON} to compile for the images: install python{PYTHON}")
