"""How far a video file has been played, on disk, so that after a restart each of its frames is the same frame.

A frame's number is the pass's first number plus its place among the frames that are wanted. The first number is on the
disk before the first frame is offered; how far the pass had come is what the answer log knows.
"""

from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from umiak_workers.adapters.configfile import durable_write

FILE = "video.json"
log = structlog.get_logger()


class Pass(BaseModel):
    """One time through a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    """Tells the file, and which of its frames are wanted, from others."""
    first: int
    """Number of its first frame."""
    started: float
    """Seconds since the epoch; moments of its frames count from here."""
    finished: bool = False


class Book:
    """The pass under way or finished last; every method blocks."""

    def __init__(self, state: Path) -> None:
        self._file = state / FILE

    def read(self) -> Pass | None:
        """What was kept; a file that cannot be understood counts as none."""
        try:
            return Pass.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            log.warning("what was kept of the video cannot be read, it starts anew", file=self._file.name)
            return None

    def write(self, kept: Pass) -> None:
        """Keep it durably; raises OSError."""
        durable_write(self._file, kept.model_dump_json().encode())


def identity(path: Path, frames_per_second: float | None) -> str | None:
    """Changes whenever the file does, or which of its frames are wanted; None while it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}@{frames_per_second or 'all'}"
