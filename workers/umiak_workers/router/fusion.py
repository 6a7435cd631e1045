"""From PNG to PNG: the cloud's regions laid over the edge's mask. Runs off the event loop."""

import numpy as np

from umiak_workers.adapters.answer_log import Masks
from umiak_workers.adapters.photo import decode_mask, encode_mask
from umiak_workers.core.fuse import Patch, fuse, opinion
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
    encoded = encode_mask(final)
    return Masks(encoded, edge, encoded if np.array_equal(final, cloud) else encode_mask(cloud))
