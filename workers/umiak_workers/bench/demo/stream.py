"""Cameras that do not exist: labelled photos pushed to a router over HTTP at a steady pace, answers scored."""

import asyncio
import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umiak_workers.bench.demo.scoring import Scoreboard, Scored
from umiak_workers.contract import routes
from umiak_workers.contract.digest import sha256
from umiak_workers.contract.errors import MessageError, Unavailable
from umiak_workers.contract.messages import AnswerHeader, CloudAnswerHeader, ExampleHeader, ModelRef
from umiak_workers.contract.wire import HEADER_LENGTH, pack, split, unpack
from umiak_workers.datasets.sample import Sample

JPEG_QUALITY = 90
Masks = dict[str, NDArray[np.uint8]]
OnFrame = Callable[[Scored, bytes, Masks], None]


@dataclass(frozen=True)
class Camera:
    """One simulated camera in front of one edge."""

    edge: str
    router: str
    interval: float
    """Seconds between photos; a camera waits for its answer before the next one."""


def jpeg(sample: Sample) -> bytes:
    """The photo as a camera would send it."""
    buffer = io.BytesIO()
    Image.fromarray(sample.image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def mask_of(png: bytes) -> NDArray[np.uint8]:
    """HxW uint8 class ids of a mask PNG."""
    image = Image.open(io.BytesIO(png))
    if image.mode not in ("L", "P"):
        raise MessageError(f"a mask is an 8-bit PNG of class ids, not {image.mode}")
    return np.asarray(image, np.uint8)


async def play(
    camera: Camera, samples: Iterable[Sample], stretch: str, board: Scoreboard, show: OnFrame, client: httpx.AsyncClient
) -> None:
    """Push the photos one after the other and score the final answers of the edge and of the collaboration."""
    for sample in samples:
        began = time.monotonic()
        photo = await asyncio.to_thread(jpeg, sample)
        header, masks = await push(camera, photo, client)
        scored = board.add(stretch, camera.edge, header.answer, sample.label, masks, len(photo))
        show(scored, photo, masks)
        await asyncio.sleep(max(0.0, camera.interval - (time.monotonic() - began)))


async def push(camera: Camera, photo: bytes, client: httpx.AsyncClient) -> tuple[AnswerHeader, Masks]:
    """One photo in, its answer and masks out; raises Unavailable or MessageError."""
    url = camera.router + routes.FRAMES
    try:
        reply = await client.post(url, params={"masks": "all"}, content=photo, headers={"Content-Type": "image/jpeg"})
    except httpx.HTTPError as error:
        raise Unavailable(f"{camera.edge}: the router does not answer ({type(error).__name__})") from error
    if reply.status_code != 200:
        raise MessageError(f"{camera.edge}: the router answered {reply.status_code}: {reply.text[:200]}")
    header, rest = unpack(AnswerHeader, reply.headers.get(HEADER_LENGTH), reply.content)
    blobs = split(rest, tuple(header.masks.values()))
    masks = {name: mask_of(blob) for name, blob in zip(header.masks, blobs, strict=True)}
    return header, masks


async def ask_cloud(
    url: str, bearer: str, sample: Sample, frame: str, model: ModelRef, client: httpx.AsyncClient
) -> tuple[NDArray[np.uint8], float]:
    """The cloud's own answer to a whole photo and the call's milliseconds; nothing is kept (`keep: false`)."""
    photo = await asyncio.to_thread(jpeg, sample)
    example = ExampleHeader(
        frame=frame,
        digest=sha256(photo),
        size=len(photo),
        media="image/jpeg",
        captured_at=time.time(),
        model=model,
        keep=False,
    )
    headers, body = pack(example, (photo,))
    began = time.monotonic()
    reply = await client.post(
        url + routes.EXAMPLES, content=body, headers={**headers, "Authorization": f"Bearer {bearer}"}
    )
    milliseconds = (time.monotonic() - began) * 1000
    if reply.status_code != 200:
        raise Unavailable(f"the cloud answered {reply.status_code}: {reply.text[:200]}")
    header, rest = unpack(CloudAnswerHeader, reply.headers.get(HEADER_LENGTH), reply.content)
    mask = np.full(sample.image.shape[:2], 255, np.uint8)
    for region, blob in zip(header.regions, split(rest, tuple(item.size for item in header.regions)), strict=True):
        box = region.box
        mask[box.top : box.top + box.height, box.left : box.left + box.width] = mask_of(blob)
    return mask, milliseconds
