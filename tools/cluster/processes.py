"""Programs that run beside each other, with a log each; they end with whoever started them."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kube"))

from control_plane import end, tied
from hosts import Failed


class Processes:
    """Started programs of one folder, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a program; its log goes to `<name>.log`, after what is there."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                tied(list(command)), stdout=log, stderr=log, cwd=self.folder, env=environment, start_new_session=True
            )

    def stop(self, *names: str) -> None:
        """End these programs, or all: the last one first."""
        for name in names or tuple(reversed(self.running)):
            if process := self.running.pop(name, None):
                end([process])

    def tail(self, name: str) -> str:
        """The last lines of a program's log."""
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def wait(self, name: str, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until a program is ready; raises Failed with the end of its log."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.running[name].poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{name} did not come up:\n{self.tail(name)}")
            time.sleep(0.1)
