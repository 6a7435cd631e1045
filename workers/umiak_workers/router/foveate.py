"""What goes up for a hard frame where regions are asked for: one photo, sharp in its hard tiles and coarse elsewhere.

The durable example stays the whole photo. Where every tile is hard, all of the photo goes up, only written anew: at a
low quality that alone saves most bytes. A part is sent only where it is smaller; whatever stands in its way (tiles of
another photo, more boxes than an upload may name, too many pixels, a codec that refuses) means the whole photo, never a
lost frame.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256

import structlog

from umiak_workers.adapters.photo import decode_photo, upload_media_of
from umiak_workers.contract.config import Regions
from umiak_workers.contract.errors import InvalidInput
from umiak_workers.contract.messages import MOST_REGIONS, PredictionHeader
from umiak_workers.core.codec import encode_upload
from umiak_workers.core.regions import Bools, Grid, foveated, hard_tiles
from umiak_workers.router.frames import Parcel

Foveate = Callable[[Parcel, PredictionHeader], Awaitable[Parcel]]
"""`in_part` with its regions, off the event loop."""
MOST_PIXELS = 9_000_000
"""A 4K photo has fewer; one of twice as many needs more memory here than a router is given."""
log = structlog.get_logger()


def in_part(whole: Parcel, seen: PredictionHeader, regions: Regions) -> Parcel:
    """The part of a photo that the edge server's tiles call hard, or `whole`. Decodes and encodes: a thread's work."""
    tiles = seen.tiles
    if tiles is None:
        return whole
    grid = Grid(seen.height, seen.width, tiles.side)
    if grid.height * grid.width > MOST_PIXELS:
        return whole
    if (grid.rows, grid.columns) != (tiles.rows, tiles.columns):
        log.warning("the tiles are another photo's, the photo goes up whole", frame=whole.header.frame)
        return whole
    chosen = hard_tiles(tiles, regions.threshold)
    if len(grid.boxes(chosen)) > MOST_REGIONS:
        return whole
    try:
        part = _part(whole, grid, chosen, regions)
    except (InvalidInput, MemoryError) as error:
        log.warning("a photo goes up whole", frame=whole.header.frame, reason=str(error))
        return whole
    return part if _size(part) < _size(whole) else whole


def _part(whole: Parcel, grid: Grid, chosen: Bools, regions: Regions) -> Parcel:
    image = decode_photo(whole.photo, len(whole.photo), grid.height * grid.width)
    if image.shape[:2] != (grid.height, grid.width):
        raise InvalidInput(f"it has {image.shape[1]}x{image.shape[0]} pixels, its answer {grid.width}x{grid.height}")
    sharp = grid.pixels(chosen)
    seen = image if chosen.all() else foveated(image, sharp, regions.cell)
    photo = encode_upload(seen, regions.codec, regions.quality)
    facts = {
        "digest": "sha256:" + sha256(photo).hexdigest(),
        "size": len(photo),
        "media": upload_media_of(photo),
        "regions": grid.boxes(chosen),
        "keep": False,
    }
    header = whole.header.model_copy(update=facts)
    return Parcel(header, photo, sharp_area=float(sharp.mean()), last=regions.learning == "None")


def _size(parcel: Parcel) -> int:
    """Bytes on the wire: boxes cost some as well."""
    return len(parcel.header.model_dump_json(exclude_none=True)) + len(parcel.photo)
