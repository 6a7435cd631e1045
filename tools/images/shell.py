"""Running other programs, and saying what goes on."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
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
