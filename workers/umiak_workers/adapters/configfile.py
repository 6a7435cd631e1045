"""Reading a container's folder of config files once at start, and surviving its loss.

After an edgecore restart, mounted files can come back empty. A container with a state folder therefore keeps the last
good copy there and falls back to it, saying so.
"""

import os
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from umiak_workers.adapters.trust import add, trusting
from umiak_workers.contract.config import CA_FILE, CONFIG_FILE, ENDPOINTS_FILE, TOKEN_FILE, Config, parse_config
from umiak_workers.contract.endpoints import Endpoints
from umiak_workers.contract.errors import ConfigError

C = TypeVar("C", bound=Config)
_FILES = (CONFIG_FILE, ENDPOINTS_FILE, TOKEN_FILE)
log = structlog.get_logger()


@dataclass(frozen=True)
class Loaded(Generic[C]):
    """What a container starts with."""

    config: C
    endpoints: Endpoints
    token: str
    folder: Path
    authorities: str
    """Certificates (PEM) that its clients trust beside those of the machine; empty: none."""

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """Whom its clients believe. Made when somebody dials: it costs a megabyte, and tens of milliseconds."""
        return trusting(self.authorities, CA_FILE)


def load(kind: type[C], config_file: Path, state: Path | None, role: str) -> Loaded[C]:
    """Read `config.json`, `endpoints.json`, `token` and `ca.crt` of one folder, or their last good copy under `state`.

    Raises ConfigError in one line that names the file and the field.
    """
    folder = config_file.parent
    copy = state / "config" / role if state else None
    if copy and (copy / CONFIG_FILE).exists() and not _whole(folder):
        log.warning("config is missing or empty, using the last good copy", folder=str(folder), copy=str(copy))
        return _read(kind, copy)
    loaded = _read(kind, folder)
    if copy:
        _keep(folder, copy)
    return loaded


def _whole(folder: Path) -> bool:
    """Every file is there and none is empty; only authorities may be absent."""
    authorities = [CA_FILE] if (folder / CA_FILE).exists() else []
    return all((folder / name).is_file() and (folder / name).stat().st_size > 0 for name in (*_FILES, *authorities))


def _read(kind: type[C], folder: Path) -> Loaded[C]:
    return Loaded(
        parse_config(kind, read_bytes(folder / CONFIG_FILE), str(folder / CONFIG_FILE)),
        Endpoints.parse(read_bytes(folder / ENDPOINTS_FILE)),
        read_bytes(folder / TOKEN_FILE).decode().strip(),
        folder,
        _authorities(folder / CA_FILE),
    )


def _authorities(file: Path) -> str:
    text = read_bytes(file).decode("ascii", "ignore") if file.exists() else ""  # comments may be in any language
    add(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), text, str(file))  # an error now, not when somebody dials
    return text


def read_bytes(file: Path) -> bytes:
    """The bytes of a config or key file; raises ConfigError that names it."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error


def _keep(folder: Path, copy: Path) -> None:
    copy.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in _FILES:
        durable_write(copy / name, (folder / name).read_bytes())
    if (folder / CA_FILE).exists():
        durable_write(copy / CA_FILE, (folder / CA_FILE).read_bytes())
    else:
        (copy / CA_FILE).unlink(missing_ok=True)


def durable_write(file: Path, data: bytes) -> None:
    """Write, fsync, rename, fsync the folder: afterwards the file is there, whole, or as it was before."""
    temporary = file.with_name(f".{file.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)
    fsync_folder(file.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
