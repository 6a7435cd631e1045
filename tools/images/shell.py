"""Running other programs, and saying what goes on."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class Missing(Exception):
    """An image cannot be made; the text says what to do about it in one line."""


def say(text: str) -> None:
    """Progress."""
    print(f"images: {text}", file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], what: str, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a program; raises Missing with the end of what it said."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env)
    except FileNotFoundError:
        raise Missing(f"{what}: {command[0]} is not installed") from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Missing(f"{what} failed ({command[0]}): {' | '.join(lines[-6:])}")
    return done.stdout


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold an advisory lock, saying so if another build has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
