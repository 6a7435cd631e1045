"""semantic-segmentation: a class for every pixel, as a grey PNG of class ids."""

from collections.abc import Iterable, Sequence

import numpy as np

from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.payloads import PNG
from umiak_workers.core.fuse import Mask, Patch, fuse, opinion
from umiak_workers.core.mask_png import decode_mask, encode_mask
from umiak_workers.core.tasks.kind import Fused, Kind, Opinion, Output

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check(payload: bytes) -> None:
    """By its first bytes: whoever needs the mask decodes it."""
    if not payload.startswith(_SIGNATURE):
        raise MessageError("a label map is a PNG")


def laid_over(edge: bytes, opinions: Sequence[Opinion]) -> Fused:
    """The cloud's regions over the edge's mask, PNG to PNG."""
    mask = decode_mask(edge)
    patches = [Patch(one.box, decode_mask(one.payload), one.confidence) for one in opinions]
    height, width = mask.shape
    final, cloud = fuse(mask, patches), opinion((height, width), patches)
    known = [(patch.labels, one.payload) for patch, one in zip(patches, opinions, strict=True)]
    encoded = _encoded(final, known)
    return Fused(encoded, _encoded(cloud, [*known, (final, encoded)]))


def _encoded(mask: Mask, known: Iterable[tuple[Mask, bytes]]) -> bytes:
    """The mask's PNG; encoding costs most of a fusion's time, and the cloud's answer mostly is the answer."""
    return next((png for labels, png in known if np.array_equal(labels, mask)), None) or encode_mask(mask)


SEGMENTATION = Kind(
    task="semantic-segmentation",
    media=PNG,
    outputs=(Output("labels", "UINT8", (1, -1, -1)),),
    check=check,
    fuse=laid_over,
)
