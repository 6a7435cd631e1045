"""Videos through PyAV (FFmpeg): a stream, a file or a camera device is opened, and its frames come one by one.

Everything here blocks; callers give it a thread. What it raises and what it shows of a stream never holds a password.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from umiak_workers.contract.errors import InvalidInput, Unavailable

QUALITY = 95
"""of the JPEG that a frame becomes"""
MOST_PIXELS = 16_000_000
"""of a frame; what an edge server takes as well"""
USUAL_RATE = 25
"""frames per second of a video that does not say"""
OPEN_SECONDS = 10.0
SILENCE_SECONDS = 5.0
"""without a packet: the stream is broken"""
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,h264,hevc,mjpeg"
"""Formats of files. No playlists: they would name other files and hosts."""


@dataclass(frozen=True)
class Place:
    """What is to be opened, and how logs call it."""

    url: str = field(repr=False)
    shown: str
    live: bool
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Login:
    """User and password of a stream."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Picture:
    """One frame; `seconds` since the first one by the video's own clock, or by its frame rate where it has none."""

    frame: VideoFrame
    seconds: float

    def jpeg(self) -> bytes:
        """The upright frame as JPEG; raises InvalidInput for one that cannot be converted."""
        try:
            image = Image.fromarray(self.frame.to_ndarray(format="rgb24"))
            if self.frame.rotation:
                image = image.rotate(self.frame.rotation, expand=True)
            file = io.BytesIO()
            image.save(file, "JPEG", quality=QUALITY)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InvalidInput(f"a frame cannot be JPEG: {error}") from error
        return file.getvalue()


def stream(uri: str, transport: Literal["tcp", "udp"], login: Login | None) -> Place:
    """An RTSP stream."""
    url = uri if login is None else _with_login(uri, login)
    options = {"rtsp_transport": transport, "protocol_whitelist": "rtsp,rtsps,rtp,tcp,udp,tls,crypto"}
    return Place(url, uri, live=True, format="rtsp", options=options)


def file(path: Path) -> Place:
    """A video file."""
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    return Place(f"file:{path}", path.name, live=False, options=options)


def device(path: str) -> Place:
    """A camera of this machine, by Video4Linux."""
    return Place(path, path, live=True, format="v4l2")


def pictures(place: Place, undecodable: Callable[[], None]) -> Iterator[Picture]:
    """The frames of a video until it ends; `undecodable` hears of each packet or frame that is no picture.

    Raises Unavailable where it cannot be opened, breaks, or is silent for too long.
    """
    with closing(_opened(place)) as container:
        if not container.streams.video:
            raise Unavailable(f"{place.shown}: holds no video")
        video = container.streams.video[0]
        video.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        video.codec_context.thread_count = 1  # an edge has few cores, and its model needs them
        rate = float(video.average_rate or USUAL_RATE)
        first = None
        for number, frame in enumerate(_frames(container, video, place, undecodable)):
            if first is None:
                first = frame.time
            clocked = first is not None and frame.time is not None
            yield Picture(frame, max(0.0, frame.time - first) if clocked else number / rate)


def _frames(
    container: InputContainer, video: VideoStream, place: Place, undecodable: Callable[[], None]
) -> Iterator[VideoFrame]:
    try:
        for packet in container.demux(video):
            try:
                frames = packet.decode()
            except (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError):
                undecodable()
                continue
            for frame in frames:
                if frame.is_corrupt or frame.width * frame.height > MOST_PIXELS:
                    undecodable()
                else:
                    yield frame
    except av.FFmpegError as error:
        raise Unavailable(f"{place.shown}: {_reason(error)}") from None


def _opened(place: Place) -> InputContainer:
    options = {"max_pixels": str(MOST_PIXELS), **place.options}
    timeout = (OPEN_SECONDS, SILENCE_SECONDS) if place.live else None
    try:
        return av.open(place.url, "r", format=place.format, options=options, timeout=timeout)
    except (av.FFmpegError, ValueError) as error:  # (its own text holds the URL, with the password)
        raise Unavailable(f"{place.shown}: {_reason(error)}") from None


def _reason(error: av.FFmpegError | ValueError) -> str:
    if isinstance(error, av.error.ExitError):
        return "nothing comes"
    return getattr(error, "strerror", None) or type(error).__name__


def _with_login(uri: str, login: Login) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise Unavailable(f"{uri}: no address: {error}") from error
    user = f"{quote(login.username, safe='')}:{quote(login.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))
