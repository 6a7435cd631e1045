"""docs/examples/07-video by the commands of its page: an edge plays a video, and every wanted frame is answered."""

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
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "examples" / "07-video" / "README.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE = 240


def shell(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", text], cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=PATIENCE
    )


def environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "XDG_STATE_HOME": str(folder / "xdg"), "OMP_NUM_THREADS": "1"}


def eventually(folder: Path, text: str, wanted: str) -> str:
    """Repeat a command until it says `wanted`."""
    end = time.monotonic() + PATIENCE
    while True:
        done = shell(folder, text)
        if done.returncode == 0 and wanted in done.stdout:
            return done.stdout
        assert time.monotonic() < end, f"{text}\n{done.stdout}{done.stderr}\n{(folder / 'up.log').read_text()}"
        time.sleep(0.5)


def test_the_page_makes_a_video_and_an_edge_plays_it(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    first, copy, look = BLOCK.findall(PAGE.read_text(encoding="utf-8"))[:3]
    make, up = first.strip().splitlines()
    assert shell(tmp_path, make).returncode == 0
    with (tmp_path / "up.log").open("wb") as log:
        running = subprocess.Popen(
            ["bash", "-c", f"exec {up}"], cwd=tmp_path, env=environment(tmp_path), stdout=log, stderr=log
        )
    try:
        eventually(tmp_path, copy, "")
        said = json.loads(eventually(tmp_path, look, '"frames": 30').strip())
        assert (said["event"], said["by_reason"]) == ("frames", {"Easy": 30})
    finally:
        running.terminate()
        assert running.wait(60) == 0
    assert processes(tmp_path / "state") == []
