"""The last one out: ends what `umiak up` started when `umiak up` itself has ended, however that happened.

It runs as a process of its own in a session of its own (`python -I -S reaper.py`), standard library only. Its standard
input is a pipe from `umiak up`; the kernel closes that pipe even after kill -9, and then the process groups still named
are ended and the folders still named removed. Lines: `+<group>`, `-<group>`, `rm <folder>`.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

GRACE = 2.0
"""seconds between asking and killing"""


def main() -> None:
    """Listen until the pipe closes, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups, folders = listen(sys.stdin)
    end(groups, time.monotonic() + GRACE)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def listen(lines: Iterable[str]) -> tuple[set[int], list[str]]:
    """(groups still running, folders to remove) once the input ends."""
    groups: set[int] = set()
    folders: list[str] = []
    for line in lines:
        word = line.rstrip("\n")
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
        elif word.startswith("rm "):
            folders.append(word[3:])
    return groups, folders


def end(groups: set[int], deadline: float) -> None:
    """Ask every group to stop; kill those that have not by `deadline` (monotonic seconds)."""
    left = {group for group in groups if send(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = {group for group in left if send(group, 0)}
    for group in left:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Whether the group was there to get the signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
