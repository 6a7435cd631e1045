"""Photos as a video file: what a video source plays where there is no camera."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from umiak_workers.contract.errors import ConfigError


def write_film(file: Path, images: Iterable[NDArray[np.uint8]], rate: int) -> int:
    """Write HxWx3 uint8 RGB images, all of one size, as a video of `rate` frames a second; returns how many there are.

    Sides lose a pixel where they are odd, as colour is kept for squares of four pixels. Raises ConfigError for a file
    that cannot be written, and for images of several sizes.
    """
    number, size = 0, None
    try:
        with av.open(str(file), "w") as container:
            stream = _stream(container, rate)
            for number, image in enumerate(images, 1):
                even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
                if size is None:
                    size = even.shape
                    stream.height, stream.width, stream.pix_fmt = size[0], size[1], "yuv420p"
                if even.shape != size:
                    raise ConfigError(f"{file}: photo {number} has another size than the first one")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be written as a video: {error}") from error
    return number


def _stream(container: OutputContainer, rate: int) -> VideoStream:
    """H.264 where this FFmpeg can make it, for most players."""
    if "libx264" in av.codecs_available:
        return container.add_stream("libx264", rate=rate, options={"crf": "16"})
    return container.add_stream("mpeg4", rate=rate, options={"qscale": "2"})
