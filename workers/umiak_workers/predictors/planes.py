"""Logit planes at another size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow


def grown_logits(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Cxhxw float32 as CxHxW, each plane resized bilinearly."""
    if logits.shape[1:] == (height, width):
        return logits
    bilinear = Pillow.Resampling.BILINEAR
    return np.stack([np.asarray(Pillow.fromarray(plane).resize((width, height), bilinear)) for plane in logits])
