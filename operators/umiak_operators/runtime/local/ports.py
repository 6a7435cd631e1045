"""Which loopback port belongs to which listener: chosen once, remembered, given anew only when somebody took it."""

import socket
import zlib
from collections.abc import Callable
from pathlib import Path

from umiak_operators.runtime.local.files import read_json, write_json
from umiak_workers.contract.errors import ConfigError

FIRST = 20_000
MOST = 10_000
"""20000-29999: below Linux' range for outgoing connections, so that no client socket sits on a listener's port."""


def is_free(port: int) -> bool:
    """Whether a listener could bind 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class PortBook:
    """Ports by `(pod, role)`, kept in a file. `base` is the first port to try; None: one derived from the file's path,
    so that two worlds on one machine rarely meet."""

    def __init__(self, file: Path, base: int | None, free: Callable[[int], bool] = is_free) -> None:
        self._file = file
        self._free = free
        self._base = FIRST + zlib.crc32(str(file).encode()) % (MOST - 1000) if base is None else base
        self._ports: dict[str, int] = read_json(file) if file.exists() else {}
        self._checked: set[str] = set()

    def port(self, pod: str, role: str) -> int:
        """The port of this listener. The first time in a run it is checked, and replaced if it is taken."""
        key = f"{pod}/{role}"
        known = self._ports.get(key)
        if key in self._checked and known is not None:
            return known
        if known is None or not self._free(known):
            self._ports[key] = self._choose()
            write_json(self._file, self._ports)
        self._checked.add(key)
        return self._ports[key]

    def url(self, pod: str, role: str, scheme: str = "http") -> str:
        """The listener's address on loopback."""
        return f"{scheme}://127.0.0.1:{self.port(pod, role)}"

    def drop(self, pod: str) -> None:
        """Forget the ports of a pod that is gone for good."""
        gone = [key for key in self._ports if key.startswith(f"{pod}/")]
        for key in gone:
            del self._ports[key]
            self._checked.discard(key)
        if gone:
            write_json(self._file, self._ports)

    def _choose(self) -> int:
        given = set(self._ports.values())
        last = min(self._base + MOST, 65_536)
        for port in range(self._base, last):
            if port not in given and self._free(port):
                return port
        raise ConfigError(f"no free port on 127.0.0.1 from {self._base} to {last - 1}; choose another --listen-base")
