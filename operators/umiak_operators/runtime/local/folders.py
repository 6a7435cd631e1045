"""Where a local world keeps its things, and that only one `umiak up` uses them at a time."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from umiak_operators.runtime.local.files import make_private
from umiak_workers.contract.errors import ConfigError


@dataclass(frozen=True)
class Folders:
    """The layout of a state folder."""

    root: Path

    @property
    def keys(self) -> Path:
        """Operator key, signing key, tokens."""
        return self.root / "keys"

    @property
    def ports(self) -> Path:
        """The port book."""
        return self.root / "ports.json"

    @property
    def broker(self) -> Path:
        """Config, accounts and retained messages of the broker."""
        return self.root / "broker"

    @property
    def volumes(self) -> Path:
        """State volumes: what outlives pods."""
        return self.root / "volumes"

    @property
    def resources(self) -> Path:
        """Resources with their status, and what became of Jobs."""
        return self.root / "resources"

    @property
    def status(self) -> Path:
        """What runs, for machines."""
        return self.root / "status.json"

    def pod(self, pod: str) -> Path:
        """Config files and scratch space of one pod; gone when the pod is."""
        return self.root / "pods" / pod

    def log(self, pod: str, container: str) -> Path:
        """The log of one container."""
        return self.root / "logs" / pod / f"{container}.log"


class Lock:
    """An exclusive hold on a state folder; the kernel drops it when the process ends, however it ends."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._descriptor = -1

    def take(self) -> None:
        """Raises ConfigError when another `umiak up` holds the folder."""
        make_private(self._root)
        self._descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise ConfigError(f"{self._root}: another `umiak up` is using this state folder") from error

    def release(self) -> None:
        """Let others have the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
