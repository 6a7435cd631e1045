"""What there is to know of this machine without a cluster: Python, packages, broker, disk, the world of `umiak up`."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from umiak_operators.runtime.local.broker import find_mosquitto
from umiak_workers.contract.errors import UmiakError
from umiak_workers.contract.wire import parse
from umiak_workers.contract.world import STATUS_FILE, World, last_world

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "operator": ("kopf", "kubernetes", "cryptography"),
    "hub": ("fastapi", "uvicorn", "sqlalchemy"),
    "edge": ("onnxruntime", "onnx"),
    "cloud": ("torch", "torchvision"),
}
"""What each extra brings, by modules that nothing else brings."""


@dataclass(frozen=True)
class Machine:
    """Facts of this machine."""

    now: float
    version: str
    python: tuple[int, int]
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Extra -> modules that are not there."""
    mosquitto: str | None = None
    amqtt: bool = False
    folder: str = ""
    """Whose disk was looked at."""
    free_bytes: int = 0
    world: World | None = None
    state: str = ""
    """State folder of the world that was started last; empty if none is known."""
    fault: str = ""
    """Why its status could not be read."""
    alive: bool = False


def look(environment: Mapping[str, str], home: Path) -> Machine:
    """Look around; changes nothing."""
    note = Path(last_world(environment, home))
    state = _first_line(note)
    world, fault = _world(Path(state)) if state else (None, "")
    folder = Path(state) if state and Path(state).is_dir() else _existing(note.parent)
    lacking = {extra: tuple(one for one in modules if not _there(one)) for extra, modules in EXTRAS.items()}
    return Machine(
        now=time.time(),
        version=installed_version(),
        python=sys.version_info[:2],
        missing={extra: modules for extra, modules in lacking.items() if modules},
        mosquitto=find_mosquitto(),
        amqtt=_there("amqtt"),
        folder=str(folder),
        free_bytes=shutil.disk_usage(folder).free,
        world=world,
        state=state,
        fault=fault,
        alive=world is not None and _runs(world.pid),
    )


def installed_version() -> str:
    """Version of this command."""
    try:
        return importlib.metadata.version("umiak")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _first_line(note: Path) -> str:
    try:
        return note.read_text().strip()
    except OSError:
        return ""


def _world(state: Path) -> tuple[World | None, str]:
    file = state / STATUS_FILE
    if not file.exists():
        return None, ""
    try:
        return parse(World, file.read_bytes()), ""
    except (OSError, UmiakError) as error:
        return None, str(error)


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _runs(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
