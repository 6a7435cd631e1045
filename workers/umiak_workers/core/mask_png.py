"""Masks as bytes: the one way a label map becomes a PNG and back."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umiak_workers.contract.errors import MessageError

LARGEST_MASK = 100_000_000
"""pixels"""


def encode_mask(mask: NDArray[np.uint8]) -> bytes:
    """A grey PNG whose values are the class ids of an HxW uint8 mask."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(mask)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """HxW uint8 class ids of a grey PNG; raises MessageError for anything else."""
    try:
        with Image.open(io.BytesIO(data), formats=["png"]) as picture:
            if picture.mode != "L" or picture.size[0] * picture.size[1] > LARGEST_MASK:
                raise MessageError(f"a mask is a grey 8-bit PNG, this is {picture.mode} {picture.size}")
            return np.asarray(picture)
    except MessageError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds for broken files
        raise MessageError(f"the mask's PNG cannot be decoded: {str(error) or type(error).__name__}") from error
