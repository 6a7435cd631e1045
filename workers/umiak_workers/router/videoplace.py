"""What a video source opens: its config turned into a place, with the login that lies beside the config."""

from pathlib import Path

from umiak_workers.adapters import camera
from umiak_workers.adapters.camera import Login, Place
from umiak_workers.adapters.configfile import read_bytes
from umiak_workers.contract.config import VideoSource
from umiak_workers.contract.errors import ConfigError

USERNAME, PASSWORD = "username", "password"
"""Files of the folder of credentials; the keys of a Secret of type kubernetes.io/basic-auth."""


def opened_from(asked: VideoSource, folder: Path, state: Path) -> Place:
    """The place; `folder` is the config's. Reads the login anew. Raises ConfigError."""
    if asked.file is not None:
        return camera.file(state / asked.file)
    if asked.device is not None:
        return camera.device(asked.device)
    if asked.uri is None:
        raise ConfigError("video: set exactly one of uri, file and device")
    return camera.stream(asked.uri, asked.transport, _login(folder / asked.credentials) if asked.credentials else None)


def _login(folder: Path) -> Login:
    return Login(_text(folder / USERNAME), _text(folder / PASSWORD))


def _text(file: Path) -> str:
    try:
        return read_bytes(file).decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text") from error
