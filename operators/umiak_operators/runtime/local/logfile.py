"""A container's log: everything it says, within a bound, and its last words for a message."""

import json
from collections import deque
from pathlib import Path

from umiak_operators.runtime.local.files import make_private

LARGEST = 4 * 1024 * 1024
"""bytes of one file; with the one before it, a log takes at most twice this."""
_LONGEST_MESSAGE = 300


class LogFile:
    """Appends to `file`; when it is full it becomes `<file>.1`, and the one before that is gone."""

    def __init__(self, file: Path, largest: int = LARGEST) -> None:
        self._file = file
        self._largest = largest
        self._last: deque[bytes] = deque(maxlen=20)
        self._open_line = b""

    def write(self, data: bytes) -> None:
        """Append; one write is never split over two files unless it alone is too large."""
        self._remember(data)
        make_private(self._file.parent)
        size = self._file.stat().st_size if self._file.exists() else 0
        if size and size + len(data) > self._largest:
            self._file.replace(self._file.with_name(self._file.name + ".1"))
        with self._file.open("ab") as handle:
            handle.write(data[-self._largest :])

    def last_words(self) -> str:
        """The last line that says something, short enough for a status."""
        for line in (self._open_line, *reversed(self._last)):
            if line.strip():
                return _plain(line.decode(errors="replace").strip())[:_LONGEST_MESSAGE]
        return ""

    def _remember(self, data: bytes) -> None:
        *whole, rest = (self._open_line + data).split(b"\n")
        self._last.extend(whole)
        self._open_line = rest[-_LONGEST_MESSAGE * 4 :]


def _plain(line: str) -> str:
    """A structured line as text: its event and error."""
    try:
        said = json.loads(line)
    except ValueError:
        return line
    if not isinstance(said, dict) or "event" not in said:
        return line
    return ": ".join(str(said[key]) for key in ("event", "error") if said.get(key))
