"""Uploads in part: what a part is, and that nothing else changes: one answer, in time, and no example lost.

The way of a frame is walked on a clock moved by hand, with parts by script; `in_part` makes real ones.
"""

import asyncio
import io
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from PIL import Image

from umiak_workers.adapters.memory import FakeClock, settle
from umiak_workers.adapters.photo import decode_upload
from umiak_workers.contract.config import Codec, Regions
from umiak_workers.contract.errors import Refused, Unavailable
from umiak_workers.contract.messages import Box, ExampleHeader, ModelRef, PredictionHeader, Scores, Tiles
from umiak_workers.core.mask_png import decode_mask
from umiak_workers.router.foveate import in_part
from umiak_workers.router.frames import Parcel

Make = Callable[..., Any]
MODEL = "sha256:" + "a" * 64
TILES = Tiles(side=4, rows=2, columns=2, hardness=(200, 10, 10, 10))
LEFT = Box(left=0, top=0, width=4, height=6)


def scripted(clock: FakeClock, seconds: float = 0.1, *, last: bool = False) -> Any:
    """Makes a part of any photo in `seconds`: a third of its bytes, the left half sharp."""

    async def foveate(whole: Parcel, seen: PredictionHeader) -> Parcel:
        await clock.sleep(seconds)
        facts = {"regions": (LEFT,), "keep": False, "media": "image/webp", "digest": MODEL, "size": 7}
        return Parcel(whole.header.model_copy(update=facts), b"a part.", sharp_area=0.5, last=last)

    return foveate


async def answered(world: Any, clock: FakeClock, seconds: float = 2.0) -> Any:
    """The outcome of a new frame."""
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(seconds)
    return task.result()


async def deliver(world: Any, clock: FakeClock, seconds: float = 60) -> None:
    """Run the delivery loop for a while."""
    task = asyncio.ensure_future(world.delivery.run())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def parts(inside: Make, clock: FakeClock) -> Make:
    """`parts(seconds, last)` -> Inside whose edge says where it is hard and whose photos go up in part."""

    def make(seconds: float = 0.1, *, last: bool = False) -> Any:
        world = inside(foveate=scripted(clock, seconds, last=last), learn_parts=not last)
        world.edge.tiles = TILES
        return world

    return make


async def test_a_part_is_answered_in_its_regions_and_the_whole_photo_follows(parts: Make, clock: FakeClock) -> None:
    world = parts()
    outcome = await answered(world, clock, 0.4)
    answer = outcome.answer
    assert (answer.answered_by, answer.reason, answer.sharp_area) == ("cloud", "CloudAnswered", 0.5)
    assert answer.stages_milliseconds["foveate"] == 100
    assert answer.stages_milliseconds["cloud"] == 300
    assert answer.bytes_up == 7
    final = decode_mask(outcome.payloads.final)
    assert (final[:, :4] == 7).all()
    assert (final[:, 4:] == 0).all(), "elsewhere the edge's own labels stay"
    assert await world.waiting() == 1, "nothing is stored yet"
    await deliver(world, clock)
    assert await world.waiting() == 0
    part, whole = world.cloud.asked
    assert (part.keep, part.answer, part.media) == (False, True, "image/webp")
    assert (whole.keep, whole.answer, whole.media, whole.regions) == (True, False, "image/png", ())
    assert world.hub.stored[answer.frame].digest == whole.digest
    assert [entry.revision for entry in await world.log()] == [0]


async def test_where_parts_are_not_learned_from_an_answered_example_is_done_with(parts: Make, clock: FakeClock) -> None:
    world = parts(last=True)
    assert (await answered(world, clock)).answer.reason == "CloudAnswered"
    await deliver(world, clock)
    fill = await world.queue.fill(clock.now())
    assert (fill.items, fill.dropped) == (0, 0)
    assert len(world.cloud.asked) == 1
    assert not world.hub.puts


async def test_killed_before_it_could_leave_the_queue_it_is_still_done_with(parts: Make, clock: FakeClock) -> None:
    world = parts(last=True)

    async def killed(*_: object) -> None:
        raise Unavailable("killed")

    world.queue.remove = killed
    assert (await answered(world, clock)).answer.reason == "CloudAnswered"
    assert await world.waiting() == 1
    second = parts(last=True)
    assert await second.recovery.find() == 0
    await deliver(second, clock)
    assert await second.waiting() == 0
    assert not second.cloud.asked


async def test_killed_in_the_middle_the_frame_is_answered_once_and_delivered_whole(
    parts: Make, clock: FakeClock
) -> None:
    world = parts(last=True)
    world.cloud.seconds = 100.0
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await clock.advance(0.2)
    del task  # as if killed: the state folder is all that is left
    second = parts(last=True)
    assert await second.recovery.find() == 1
    recovering = asyncio.ensure_future(second.recovery.run())
    await deliver(second, clock)
    assert recovering.done()
    assert [(entry.revision, entry.answered_by) for entry in await second.log()] == [(0, "edge"), (1, "cloud")]
    assert [(header.keep, header.media) for header in second.cloud.asked] == [(True, "image/png")]
    assert await second.waiting() == 0


@pytest.mark.parametrize("last", [False, True])
async def test_a_late_answer_to_a_part_becomes_revision_1(parts: Make, clock: FakeClock, last: bool) -> None:
    world = parts(last=last)
    world.cloud.seconds = 5.0
    outcome = await answered(world, clock)
    assert (outcome.answer.reason, outcome.answer.sharp_area) == ("DeadlineNear", None)
    await clock.advance(4)
    first, late = await world.log()
    assert (first.revision, late.revision, late.answered_by, late.sharp_area) == (0, 1, "cloud", 0.5)
    assert await world.waiting() == (0 if last else 1)
    world.cloud.seconds = 0.1
    await deliver(world, clock)
    assert await world.waiting() == 0
    assert [header.answer for header in world.cloud.asked] == ([True] if last else [True, False])
    assert len(await world.log()) == 2


async def test_a_late_answer_to_a_part_that_does_not_fit_leaves_the_example(
    parts: Make, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = parts(last=True)
    world.cloud.seconds, ask = 5.0, world.cloud.ask
    outside = (Box(left=0, top=0, width=9999, height=8),)
    monkeypatch.setattr(
        world.cloud, "ask", lambda header, photo: ask(header.model_copy(update={"regions": outside}), photo)
    )
    assert (await answered(world, clock)).answer.reason == "DeadlineNear"
    await clock.advance(4)
    assert [entry.revision for entry in await world.log()] == [0]
    assert await world.waiting() == 1, "nothing else is left of the frame"


async def test_a_part_that_is_not_ready_in_time_is_not_sent(parts: Make, clock: FakeClock) -> None:
    world = parts(seconds=30.0)
    frame = await world.frame()
    task = asyncio.ensure_future(world.pipeline.answer(frame))
    await clock.advance(1.95)
    answer = task.result().answer
    assert (answer.reason, answer.answered_at) == ("DeadlineNear", pytest.approx(frame.captured_at + 1.95))
    assert "cloud" not in answer.stages_milliseconds
    assert not world.cloud.asked
    assert not world.follow_up.in_hand
    await deliver(world, clock)
    assert [(header.keep, header.answer) for header in world.cloud.asked] == [(True, True)]
    assert [entry.revision for entry in await world.log()] == [0, 1]


async def test_a_stop_waits_for_no_part(parts: Make, clock: FakeClock) -> None:
    world = parts(seconds=30.0)
    task = asyncio.ensure_future(world.pipeline.answer(await world.frame()))
    await settle()
    world.pipeline.wind_down()
    await settle()
    assert task.result().answer.reason == "DeadlineNear"
    assert await world.waiting() == 1


async def test_an_absent_cloud_costs_no_encoding_and_no_example(parts: Make, clock: FakeClock) -> None:
    world = parts()
    world.cloud.error, world.cloud.seconds = Unavailable("no route"), 0.0
    answers = [(await answered(world, clock, 0.1)).answer for _ in range(4)]
    assert {answer.reason for answer in answers} == {"CloudUnreachable"}
    assert ["foveate" in answer.stages_milliseconds for answer in answers] == [True, True, False, False]
    world.cloud.error = None
    await deliver(world, clock)
    assert await world.waiting() == 0
    assert len(world.hub.puts) == 4


async def test_a_cloud_that_takes_no_parts_still_gets_the_whole_photo(parts: Make, clock: FakeClock) -> None:
    world = parts()
    world.cloud.error, world.cloud.seconds = Refused("media: not JPEG or PNG", 400), 0.0
    assert (await answered(world, clock)).answer.reason == "CloudUnreachable"
    fill = await world.queue.fill(clock.now())
    assert (fill.items, fill.dropped) == (1, 0)
    world.cloud.error = None
    await deliver(world, clock)
    assert [header.keep for header in world.cloud.asked] == [False, True]
    assert await world.waiting() == 0


async def test_an_edge_server_that_says_nothing_of_tiles_means_whole_photos(parts: Make, clock: FakeClock) -> None:
    world = parts()
    world.edge.tiles = None
    answer = (await answered(world, clock)).answer
    assert (answer.reason, answer.sharp_area) == ("CloudAnswered", None)
    assert "foveate" not in answer.stages_milliseconds
    assert world.hub.puts == [answer.frame]


HEIGHT, WIDTH, SIDE = 96, 160, 32
NOISE = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
REGIONS = Regions(threshold=0.5)


def jpeg(pixels: np.ndarray, quality: int = 90, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def whole_of(photo: bytes) -> Parcel:
    digest = "sha256:" + sha256(photo).hexdigest()
    model = ModelRef(line="yard/street", digest=MODEL)
    header = ExampleHeader(
        frame="edge-1/http/0", digest=digest, size=len(photo), media="image/jpeg", captured_at=1.0, model=model
    )
    return Parcel(header, photo)


def seen(hard: list[int], height: int = HEIGHT, width: int = WIDTH, side: int = SIDE) -> PredictionHeader:
    """The edge's answer with these tiles (by number) at hardness 0.8 and the others at 0.2."""
    rows, columns = -(-height // side), -(-width // side)
    levels = tuple(204 if number in hard else 51 for number in range(rows * columns))
    return PredictionHeader(
        model=MODEL,
        line="yard/street",
        width=width,
        height=height,
        scores=Scores(margin=0.1, max_probability=0.6, entropy=0.5),
        inference_milliseconds=1.0,
        mask_size=1,
        tiles=Tiles(side=side, rows=rows, columns=columns, hardness=levels),
    )


def test_hard_tiles_are_sharp_the_rest_is_coarse_and_the_upload_is_small() -> None:
    whole = whole_of(jpeg(NOISE))
    part = in_part(whole, seen([0, 1, 13]), REGIONS)
    header = part.header
    assert header.regions == (Box(left=0, top=0, width=64, height=32), Box(left=96, top=64, width=32, height=32))
    assert (header.media, header.keep, header.answer, header.size) == ("image/avif", False, True, len(part.photo))
    assert header.digest == "sha256:" + sha256(part.photo).hexdigest()
    assert (header.frame, header.model) == (whole.header.frame, whole.header.model)
    assert part.sharp_area == pytest.approx(3 / 15)
    assert not part.last
    assert len(part.photo) < len(whole.photo) / 2
    image = decode_upload(part.photo, 10**6, 10**6)
    assert image.shape == NOISE.shape
    assert image[:32, :64].std() > 40
    assert image[8:24, 76:150].std() < 25


def test_a_photo_too_wide_for_the_codec_goes_up_whole() -> None:
    whole, header = whole_of(jpeg(np.zeros((8, 16400, 3), np.uint8))), seen([3], 8, 16400)
    assert in_part(whole, header, REGIONS.model_copy(update={"codec": "WebP"})) is whole
    assert in_part(whole, header, REGIONS).header.media == "image/avif"


@pytest.mark.parametrize(("codec", "media"), [("WebP", "image/webp"), ("JPEG", "image/jpeg")])
def test_a_part_is_written_as_asked(codec: Codec, media: str) -> None:
    part = in_part(whole_of(jpeg(NOISE)), seen([0, 1, 13]), REGIONS.model_copy(update={"codec": codec}))
    assert (part.header.media, part.header.keep) == (media, False)
    assert decode_upload(part.photo, 10**6, 10**6).shape == NOISE.shape


def test_the_hardest_tile_goes_up_whatever_the_threshold() -> None:
    part = in_part(whole_of(jpeg(NOISE)), seen([7]), Regions(threshold=1.0, learning="None"))
    assert part.header.regions == (Box(left=64, top=32, width=32, height=32),)
    assert part.last


def test_a_photo_that_lies_on_its_side_is_cut_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = jpeg(np.rot90(NOISE, 1), exif=exif.tobytes())
    part = in_part(whole_of(stored), seen([0]), REGIONS)
    image = decode_upload(part.photo, 10**6, 10**6)
    assert image.shape == NOISE.shape
    assert np.abs(image[4:28, 4:28].astype(int) - NOISE[4:28, 4:28]).mean() < 60


def test_a_part_that_is_not_smaller_is_not_sent() -> None:
    whole = whole_of(jpeg(NOISE, quality=5))
    assert in_part(whole, seen(list(range(14))), Regions(threshold=0.5, quality=100)) is whole


def test_where_all_is_hard_the_whole_photo_goes_up_written_anew() -> None:
    whole = whole_of(jpeg(NOISE))
    parcel = in_part(whole, seen(list(range(15))), REGIONS)
    assert parcel.sharp_area == 1.0
    assert parcel.header.media == "image/avif"
    assert parcel.header.size == len(parcel.photo) < len(whole.photo)
    assert sum(box.width * box.height for box in parcel.header.regions) == HEIGHT * WIDTH


@pytest.mark.parametrize(
    ("photo", "header"),
    [
        (jpeg(NOISE)[:-900], seen([3])),  # cannot be decoded
        (jpeg(NOISE[:64]), seen([3])),  # not the photo that was answered
        (jpeg(NOISE), seen([3]).model_copy(update={"tiles": TILES})),  # tiles of another photo
        (jpeg(NOISE), seen([3]).model_copy(update={"tiles": None})),
        (jpeg(NOISE), seen([3], 3000, 3001)),  # more pixels than there is memory for
        (jpeg(NOISE), seen(list(range(0, 1000, 2)), HEIGHT, WIDTH, 3)),  # more boxes than an upload names
    ],
)
def test_whatever_stands_in_the_way_of_a_part_means_the_whole_photo(photo: bytes, header: PredictionHeader) -> None:
    whole = whole_of(photo)
    assert in_part(whole, header, REGIONS) is whole
