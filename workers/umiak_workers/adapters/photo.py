"""Photos as bytes: what is decoded and how it is bounded.

Edge and cloud must see the same pixels, so both decode here: EXIF orientation applied, RGB, 8 bits.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from umiak_workers.adapters.avif import BRAND, check_avif
from umiak_workers.contract.errors import InvalidInput
from umiak_workers.core.codec import opened

Media = Literal["image/jpeg", "image/png"]
"""What cameras send, and all that is ever stored."""
UploadMedia = Literal["image/jpeg", "image/png", "image/webp", "image/avif"]
"""What a router may send to be answered: besides photos as they came, those that it wrote anew itself."""
_MAGIC: tuple[tuple[bytes, Media], ...] = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def media_of(data: bytes) -> Media:
    """What the first bytes say a photo is; raises InvalidInput for anything but JPEG and PNG."""
    for magic, media in _MAGIC:
        if data.startswith(magic):
            return media
    raise InvalidInput("not a JPEG or PNG photo" if data else "the photo is empty")


def upload_media_of(data: bytes) -> UploadMedia:
    """What the first bytes say an upload is; raises InvalidInput for anything but JPEG, PNG, WebP and AVIF."""
    if data[4:12] == BRAND:
        return "image/avif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else media_of(data)


def decode_photo(data: bytes, max_bytes: int, max_pixels: int) -> NDArray[np.uint8]:
    """HxWx3 uint8 RGB, upright by its EXIF orientation; raises InvalidInput in one line.

    Bytes, kind and pixels are checked before any pixel is decoded.
    """
    _not_too_long(data, max_bytes)
    return _decoded(data, media_of(data), max_pixels)


def decode_upload(data: bytes, max_bytes: int, max_pixels: int) -> NDArray[np.uint8]:
    """What `decode_photo` does, for what a router may send to be answered."""
    _not_too_long(data, max_bytes)
    return _decoded(data, upload_media_of(data), max_pixels)


def _not_too_long(data: bytes, max_bytes: int) -> None:
    if len(data) > max_bytes:
        raise InvalidInput(f"the photo has {len(data)} bytes, at most {max_bytes} are taken")


def _decoded(data: bytes, media: UploadMedia, max_pixels: int) -> NDArray[np.uint8]:
    if media == "image/avif":
        check_avif(data)
    try:
        with opened(data, media.removeprefix("image/")) as photo:
            _bounded(photo, max_pixels)
            photo.load()
            upright = ImageOps.exif_transpose(photo)
            return np.asarray(upright.convert("RGB"))
    except InvalidInput:
        raise
    except Exception as error:  # Pillow's readers raise many kinds for broken files
        raise InvalidInput(f"the {media} photo cannot be decoded: {str(error) or type(error).__name__}") from error


def _bounded(photo: Image.Image, max_pixels: int) -> None:
    width, height = photo.size
    if width * height > max_pixels:
        raise InvalidInput(f"the photo has {width}x{height} pixels, at most {max_pixels} are taken")
    if photo.mode not in _MODES:
        raise InvalidInput(f"photos of mode {photo.mode} are not taken, 8 bits per channel are")
