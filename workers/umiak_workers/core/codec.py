"""Photos written anew for their way to the cloud: fewer bytes, and what that takes."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image

from umiak_workers.contract.config import Codec
from umiak_workers.contract.errors import InvalidInput

EFFORT = 2
"""libwebp's `method`, 0 fast to 6 small. From 3 on it searches rate against distortion: a tenth fewer bytes for
more than twice the time, and time is what an edge device is short of (`umiak bench codec`, docs/adr/0014)."""
SPEED = 10
"""libaom's `speed`, 0 small to 10 fast: one step slower takes several times as long for about as many bytes."""
THREADS = 1
"""Of writing and reading an AVIF: the other cores of an end are its models'."""
WRITING: dict[Codec, dict[str, int | bool | str]] = {
    "AVIF": {"speed": SPEED, "max_threads": THREADS, "subsampling": "4:2:0"},
    "WebP": {"method": EFFORT},
    "JPEG": {"optimize": True},
}
"""What Pillow is told besides the quality."""


def encode_upload(image: NDArray[np.uint8], codec: Codec, quality: int) -> bytes:
    """An HxWx3 uint8 image written anew, at a quality of 1..100 on the codec's own scale.

    Raises InvalidInput for one that the format does not hold (WebP: 16383 pixels a side).
    """
    file = io.BytesIO()
    try:
        Image.fromarray(image).save(file, codec.upper(), quality=quality, **WRITING[codec])
    except (KeyError, OSError, ValueError, MemoryError, RuntimeError, SyntaxError) as error:  # KeyError: no such codec
        raise InvalidInput(f"{image.shape[1]}x{image.shape[0]} pixels cannot be {codec}: {error}") from error
    return file.getvalue()


def opened(data: bytes, *formats: str) -> Image.Image:
    """A photo by Pillow, its pixels not read yet; one of these formats where any are named."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = THREADS  # Pillow takes it nowhere else
    return Image.open(io.BytesIO(data), formats=formats or None)


def decoded(upload: bytes) -> NDArray[np.uint8]:
    """HxWx3 uint8: what the other end sees of a file. For files of one's own making: nothing is bounded."""
    return np.asarray(opened(upload).convert("RGB"))
