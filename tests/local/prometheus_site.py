"""A real Prometheus on loopback for tests: started over a config, asked by its HTTP API, stopped at the end."""

import math
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

START_SECONDS = 60.0


def binary() -> str:
    """The program; skips the test without it, fails where CI is set."""
    found = shutil.which("prometheus")
    if found is None and not os.environ.get("CI"):
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    assert found, "prometheus is not installed (Debian: apt-get install prometheus)"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """What tests ask of it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """The result of one expression now; fails with what Prometheus said of it."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=10, trust_env=False)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        result = answer.json()["data"]["result"]
        assert isinstance(result, list)
        return result

    def has_data(self, expr: str) -> bool:
        """Whether some series has a number (and not NaN) now."""
        return any(math.isfinite(float(one["value"][1])) for one in self.ask(expr))

    def targets(self) -> dict[str, str]:
        """Address -> why it cannot be scraped, empty where it can."""
        found = httpx.get(f"{self.url}/api/v1/targets", timeout=10, trust_env=False).json()
        return {one["labels"]["instance"]: one["lastError"] for one in found["data"]["activeTargets"]}


@contextmanager
def prometheus(folder: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """Run one over a config, with its data in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        binary(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"})
    try:
        found = Prometheus(f"http://127.0.0.1:{port}")
        _wait(found, process, folder)
        yield found
    finally:
        process.terminate()
        process.wait(30)


def _wait(found: Prometheus, process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()  # noqa: PT018
        with suppress(httpx.HTTPError):
            if httpx.get(f"{found.url}/-/ready", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
