"""From PNG to PNG: the cloud's regions laid over the edge's mask. Runs off the event loop."""

from collections.abc import Iterable

import numpy as np

from umiak_workers.adapters.answer_log import Masks
from umiak_workers.adapters.photo import decode_mask, encode_mask
from umiak_workers.core.fuse import Mask, Patch, fuse, opinion
from umiak_workers.router.frames import CloudReply


def merged(edge: bytes, reply: CloudReply) -> Masks:
    """The masks of an answer by the cloud; raises MessageError or InvalidPrediction for regions that do not fit."""
    mask = decode_mask(edge)
    patches = [
        Patch(region.box, decode_mask(png), region.confidence)
        for region, png in zip(reply.header.regions, reply.regions, strict=True)
    ]
    height, width = mask.shape
    final, cloud = fuse(mask, patches), opinion((height, width), patches)
    known = [(patch.labels, png) for patch, png in zip(patches, reply.regions, strict=True)]
    encoded = _encoded(final, known)
    return Masks(encoded, edge, _encoded(cloud, [*known, (final, encoded)]))


def _encoded(mask: Mask, known: Iterable[tuple[Mask, bytes]]) -> bytes:
    """The mask's PNG; encoding costs most of a fusion's time, and the cloud's answer mostly is the answer."""
    return next((png for labels, png in known if np.array_equal(labels, mask)), None) or encode_mask(mask)
