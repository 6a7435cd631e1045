"""Videos for tests, made by the encoders of PyAV's own wheel."""

from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, RATE = 64, 96, 10


def film(path: Path, frames: int, codec: str = "libx264", rate: int = RATE) -> Path:
    """A video whose frame k is grey of brightness `brightness(k)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            pixels = np.full((HEIGHT, WIDTH, 3), brightness(number), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def brightness(number: int) -> int:
    return 20 + number * 5 % 220
