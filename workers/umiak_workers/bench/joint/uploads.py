"""What goes up and what comes back, as bytes: a codec's files, and answers as a cloud worker writes them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from umiak_workers.cloud.regions import cut
from umiak_workers.cloud.think import Opinion
from umiak_workers.contract import config, wire
from umiak_workers.contract.messages import Box, CloudAnswerHeader, Scores
from umiak_workers.core.codec import decoded, encode_upload

Image = NDArray[np.uint8]
_UNTOLD = Scores(margin=1, max_probability=1, entropy=0)


@dataclass(frozen=True)
class Codec:
    """How uploads are written: a format, at a quality of 1..100 on its own scale."""

    format: config.Codec
    quality: int

    def __str__(self) -> str:
        """In words."""
        return f"{self.format} quality {self.quality}"

    def encode(self, image: Image) -> bytes:
        """The file of an HxWx3 uint8 image."""
        return encode_upload(image, self.format, self.quality)

    def decode(self, photo: bytes) -> Image:
        """What the other end sees."""
        return decoded(photo)


def reply(labels: NDArray[np.uint8], boxes: Sequence[Box] = ()) -> bytes:
    """The body of a cloud worker's answer: labels HxW uint8 of the boxes, or of the whole photo.

    Confidence is left at 1, receipt, times and digests are left out: a few hundred bytes.
    """
    opinion = Opinion(labels, np.ones((1, 1), np.float32), _UNTOLD, {}, 0)
    regions, pictures = cut(opinion, boxes)
    _, body = wire.pack(CloudAnswerHeader(frame="bench/photos/0", regions=regions), pictures)
    return body


def jpeg(image: Image) -> bytes:
    """The JPEG of quality 95 that a camera would send of a photo that was made, not taken."""
    written = io.BytesIO()
    Pillow.fromarray(image).save(written, "JPEG", quality=95)
    return written.getvalue()
