"""`umiak up` as a process for tests: start it, wait for it, see what runs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from umiak_workers.contract.world import STATUS_FILE, World

RESOURCE = """
apiVersion: umiak.dev/v1alpha1
kind: JointInference
metadata: {{name: {name}, namespace: yard}}
spec:
  edge:
    model: {{line: {line}, uri: "builtin:yard-edge", digest: "sha256:{digest}"}}
    nodes: {{matchLabels: {{site: yard}}}}
    source: {{http: {{}}}}
    runtime: {{threads: {threads}}}
  hardExamples: {{miners: [{{miner: EdgeOnly}}]}}
"""


def resource(name: str = "gate", digest: str = "0" * 64, threads: int = 1, line: str = "yard") -> str:
    return RESOURCE.format(name=name, digest=digest, threads=threads, line=line)


@contextmanager
def up(root: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`umiak up` with its output in `root/out`; killed at the end if it still runs."""
    command = [sys.executable, "-m", "umiak_workers.cli.main", "up", *map(str, arguments)]
    env = {**os.environ, "XDG_STATE_HOME": str(root / "xdg"), "OMP_NUM_THREADS": "1", "TMPDIR": str(root)}
    with (root / "out").open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, text=True, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def until(happened: Callable[[], bool], root: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        said = (root / "out").read_text()
        assert time.monotonic() < end, f"waited in vain:\n{said}"
        assert "Traceback" not in said, said
        time.sleep(0.05)


def world(state: Path) -> World | None:
    file = state / STATUS_FILE
    return World.model_validate_json(file.read_bytes()) if file.exists() else None


def processes(mark: Path) -> list[int]:
    """Every process whose command line or folder names `mark`, without the test itself."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_text() + os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(mark) in told and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def pods(state: Path) -> set[str]:
    now = world(state)
    return {pod.name for pod in now.pods if pod.containers} if now else set()
