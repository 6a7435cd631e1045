"""docs/howto/own-model.md from first to last block: a user's own model on a running edge, then its next version."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from up_site import processes

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "own-model.md"
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE = 120


class Shell:
    """Runs the howto's commands in one folder with this environment's `umiak` and `python`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, "XDG_STATE_HOME": str(folder / "xdg"), "OMP_NUM_THREADS": "1"}

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", text], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=PATIENCE
        )

    def must(self, text: str) -> str:
        done = self.run(text)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, text: str) -> subprocess.Popen[bytes]:
        with (self.folder / "up.log").open("wb") as log:
            return subprocess.Popen(
                ["bash", "-c", f"exec {text}"], cwd=self.folder, env=self.env, stdout=log, stderr=log
            )

    def answer(self, command: str, digest: str) -> dict[str, float]:
        """Repeat the howto's `umiak infer` until the model with this digest answers; share of each class."""
        end = time.monotonic() + PATIENCE
        while True:
            done = self.run(f"{command.strip()} --json")
            if done.returncode == 0 and (said := json.loads(done.stdout)[0])["answer"]["model"] == digest:
                self.must(command)
                shares: dict[str, float] = said["shares"]
                return shares
            assert time.monotonic() < end, f"{done.stdout}{done.stderr}\n{(self.folder / 'up.log').read_text()}"
            time.sleep(0.5)


def test_the_howto_puts_a_model_on_an_edge_and_then_its_next_version(tmp_path: Path) -> None:
    blocks = BLOCK.findall(HOWTO.read_text(encoding="utf-8"))
    for _, name, text in blocks:
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    shell = Shell(tmp_path)
    shell.must("python make.py")
    steps = [text for kind, name, text in blocks if kind in ("sh", "bash") and not name]
    assert [text.split()[1] for text in steps if text.startswith("umiak")] == ["model", "up", "infer", "infer"]
    up, answers = None, []
    try:
        for text in steps:
            if text.startswith("umiak up"):
                up = shell.start(text.strip())
            elif text.startswith("umiak infer"):
                packed = "next-colours" if answers else "three-colours"
                digest = shell.must(f"sha256sum {packed}/manifest.json").split()[0]
                answers.append(shell.answer(text, f"sha256:{digest}"))
            else:
                shell.must(text)
    finally:
        if up is not None:
            up.terminate()
            assert up.wait(60) == 0
    assert answers == [{"red": 1.0}, {"blue": 1.0}]
    assert processes(tmp_path / "state") == []
