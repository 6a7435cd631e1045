"""Toxiproxy as a program of its own: a TCP proxy on loopback that makes whatever goes through it late and slow.

What it emulates is waiting: bytes leave at a rate, after a delay, in both directions. It accepts connections at once
and loses nothing, so handshakes, TCP's slow start and loss are no part of what is measured through it.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import httpx

from umiak_workers.contract.errors import ConfigError, Unavailable

NAMES = ("toxiproxy-server", "toxiproxy")
START_SECONDS = 10.0
STEP_SECONDS = 5.0
BUILT = "kube-*/toxiproxy"
"""Where `tools/kube/provision.py cluster` puts it, below the cache folder."""


def find(named: Path | None) -> Path | None:
    """The program `named`, on PATH or built by tools/kube/provision.py; None where there is none.

    Raises ConfigError where the one that is named is no program.
    """
    if named is not None:
        if not _runs(named):
            raise ConfigError(f"--toxiproxy {named}: no program; leave it out to look on PATH")
        return named
    for name in NAMES:
        if on_path := shutil.which(name):
            return Path(on_path)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "umiak"
    return next((built for built in sorted(cache.glob(BUILT), reverse=True) if _runs(built)), None)


def _runs(file: Path) -> bool:
    return file.is_file() and os.access(file, os.X_OK)


class Toxiproxy:
    """The program while it runs, spoken to over its HTTP API; a context manager."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __enter__(self) -> "Toxiproxy":
        port = _free_port()
        wrapper = shutil.which("setpriv")
        tied = [wrapper, "--pdeathsig", "KILL"] if wrapper else []  # it must not outlive a bench that was killed
        self._process = subprocess.Popen(
            [*tied, str(self._program), "-host", "127.0.0.1", "-port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=STEP_SECONDS, trust_env=False)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the program."""
        self._api.close()
        self._process.terminate()
        try:
            self._process.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def slow(self, upstream: str, kilobytes: int, there: int, back: int) -> str:
        """A slow way to `upstream` (host:port), as host:port; so many kB (1000 bytes) per second each way, and delays
        in milliseconds; raises Unavailable.

        Delays come before rates: behind a rate, Toxiproxy takes what bytes waited there off their delay.
        """
        made = self._post("/proxies", {"name": "link", "listen": "127.0.0.1:0", "upstream": upstream, "enabled": True})
        for stream, delay in (("upstream", there), ("downstream", back)):
            for kind, attributes in (("latency", {"latency": delay}), ("bandwidth", {"rate": kilobytes})):
                toxic = {"name": f"{stream}-{kind}", "type": kind, "stream": stream, "attributes": attributes}
                self._post("/proxies/link/toxics", toxic)
        return str(made["listen"])

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            try:
                self._api.get("/version").raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise Unavailable(f"{self._program}: Toxiproxy does not answer; see `{self._program.name} -version`")

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        try:
            answer = self._api.post(path, json=body)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._program}: {path}: {error}") from error
        found: dict[str, object] = answer.json()
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
