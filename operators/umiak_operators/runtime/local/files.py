"""Files that only their owner may read, and that are there whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from umiak_workers.contract.errors import ConfigError


def write_private(file: Path, data: bytes) -> bool:
    """Replace `file` (mode 0600) in one step; False, and nothing written, when it already held exactly `data`."""
    if file.exists() and file.read_bytes() == data:
        return False
    make_private(file.parent)
    temporary = file.with_name(f".{file.name}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(data)
    temporary.replace(file)
    return True


def make_private(folder: Path) -> Path:
    """The folder with its parents, closed to others."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_json(file: Path, value: Any) -> bool:
    """`write_private` of readable JSON."""
    return write_private(file, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(file: Path) -> Any:
    """The JSON in `file`; raises ConfigError that names the file and what to do."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: not readable as JSON ({error}); remove it to start afresh") from error
