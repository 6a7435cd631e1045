"""An example's page for tests: its commands, typed as they stand there."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
PATIENCE = 240


def commands(example: str) -> dict[str, str]:
    """The first block's commands of an example's page by their verb, without what is said behind them."""
    text = (DOCS / "examples" / example / "README.md").read_text()
    block = re.search(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block
    lines = [line.partition("  #")[0].strip() for line in block[1].splitlines()]
    return {line.split()[1]: line for line in lines}


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "XDG_STATE_HOME": str(folder / "xdg"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE
    )


def answers(command: str, folder: Path) -> list[dict[str, Any]]:
    """What `umiak infer` says of every photo, once the edge has its model."""
    end = time.monotonic() + PATIENCE
    while (done := shell(f"{command} --json", folder)).returncode:
        assert time.monotonic() < end, f"{done.stdout}{done.stderr}\n{(folder / 'out').read_text()}"
        time.sleep(0.5)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
