"""Photos and masks as bytes: bounded before decoding, upright, and masks that come back as they were."""

import io
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import AvifImagePlugin, Image

from umiak_workers.adapters.photo import decode_photo, decode_upload, media_of, upload_media_of
from umiak_workers.contract.config import Codec
from umiak_workers.contract.errors import InvalidInput, MessageError
from umiak_workers.core.codec import encode_upload
from umiak_workers.core.mask_png import decode_mask, encode_mask

MOST = 1_000_000


def saved(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(file, kind, **options)
    return file.getvalue()


def test_a_png_comes_back_pixel_by_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert (decode_photo(saved(pixels, "PNG"), MOST, MOST) == pixels).all()
    assert media_of(saved(pixels, "PNG")) == "image/png"
    assert media_of(saved(pixels, "JPEG")) == "image/jpeg"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_other_kinds_of_pixels_become_rgb(mode: str) -> None:
    photo = decode_photo(saved(np.full((4, 6, 3), 200, np.uint8), "PNG", mode), MOST, MOST)
    assert photo.shape == (4, 6, 3)
    assert photo.dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation: int) -> None:
    upright = np.zeros((20, 40, 3), np.uint8)
    upright[:10, :10] = 250  # a white corner, top left
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = saved(np.ascontiguousarray(undo[orientation]), "JPEG", exif=exif.tobytes(), quality=95)
    seen = decode_photo(stored, MOST, MOST)
    assert seen.shape == upright.shape
    assert seen[2:8, 2:8].min() > 200
    assert seen[12:, 12:].max() < 60


def test_a_huge_picture_is_refused_before_its_pixels_are_made() -> None:
    bomb = saved(np.zeros((3000, 3000), np.uint8), "PNG")
    assert len(bomb) < 50_000
    with pytest.raises(InvalidInput, match="3000x3000"):
        decode_photo(bomb, MOST, MOST)


@pytest.mark.parametrize(("codec", "media"), [("WebP", "image/webp"), ("AVIF", "image/avif")])
def test_what_routers_write_is_an_upload_and_no_photo(codec: Codec, media: str) -> None:
    written = encode_upload(np.full((20, 40, 3), 90, np.uint8), codec, 75)
    assert upload_media_of(written) == media
    assert decode_upload(written, MOST, MOST).shape == (20, 40, 3)
    for strict in (media_of, lambda data: decode_photo(data, MOST, MOST)):
        with pytest.raises(InvalidInput, match="not a JPEG or PNG"):
            strict(written)


@pytest.mark.parametrize("codec", get_args(Codec))
def test_every_codec_keeps_what_is_seen_and_a_lower_quality_is_smaller(codec: Codec) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(0, 12, (96, 128, 3)) + np.linspace(20, 220, 128)[:, None], 0, 255).astype(np.uint8)
    low, high = (encode_upload(image, codec, quality) for quality in (15, 90))
    assert len(low) < len(high) / 2
    near = np.abs(decode_upload(high, MOST, MOST).astype(int) - image).mean()
    assert near < np.abs(decode_upload(low, MOST, MOST).astype(int) - image).mean() < 20


def test_uploads_are_photos_too_and_bounded_alike() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert (decode_upload(saved(pixels, "PNG"), MOST, MOST) == pixels).all()
    assert [upload_media_of(saved(pixels, kind)) for kind in ("PNG", "JPEG")] == ["image/png", "image/jpeg"]
    webp = encode_upload(np.zeros((600, 700, 3), np.uint8), "WebP", 75)
    for most_bytes, most_pixels, says in ((MOST, 400_000, "700x600"), (20, MOST, "at most 20")):
        with pytest.raises(InvalidInput, match=says):
            decode_upload(webp, most_bytes, most_pixels)
    avif = encode_upload(np.zeros((600, 700, 3), np.uint8), "AVIF", 75)
    with pytest.raises(InvalidInput, match="700x600"):
        decode_upload(avif, MOST, 400_000)
    for broken in (webp[:60], avif[:60], avif[:-9], avif + b"more"):
        with pytest.raises(InvalidInput, match="cannot be decoded"):
            decode_upload(broken, MOST, MOST)
    for other in (b"", b"RIFF....WAVE", b"GIF89a"):
        with pytest.raises(InvalidInput):
            upload_media_of(other)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 33), (4, 1999), (600, 700)])
@pytest.mark.parametrize("quality", [1, 40, 100])
def test_every_avif_of_a_router_is_read(height: int, width: int, quality: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert decode_upload(encode_upload(image, "AVIF", quality), MOST, MOST).shape == (height, width, 3)


@pytest.mark.parametrize(
    ("box", "behind", "told"),
    [
        (b"ispe", 8, (8).to_bytes(4, "big") * 2),  # a small picture, as which a large one would be decoded
        (b"iloc", 18, (12).to_bytes(4, "big")),  # a stream somewhere else
        (b"iinf", 8, (2).to_bytes(2, "big")),  # more items than one
        (b"mdat", 6, b"\x0a\x0a\x00"),  # a stream of another kind
    ],
)
def test_an_avif_that_is_not_as_large_as_it_says_or_of_another_layout_is_not_decoded(
    box: bytes, behind: int, told: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    avif = bytearray(encode_upload(np.zeros((600, 700, 3), np.uint8), "AVIF", 40))
    at = avif.index(box) + behind
    avif[at : at + len(told)] = told
    monkeypatch.setattr(Image, "open", None)  # nothing is even begun
    with pytest.raises(InvalidInput, match="not one that a router writes"):
        decode_upload(bytes(avif), MOST, MOST)


def stream_of(avif: bytes, stream: bytes) -> bytes:
    """The AVIF with another stream in it, its sizes set right."""
    start = avif.index(b"mdat") + 4
    head = bytearray(avif[:start])
    place = avif.index(b"iloc") + 4 + len(bytes.fromhex("00000000 4400 0001 0001 0000 0001"))
    head[place + 4 : place + 8] = len(stream).to_bytes(4, "big")
    head[start - 8 : start - 4] = (len(stream) + 8).to_bytes(4, "big")
    return bytes(head) + stream


@pytest.mark.parametrize(
    "more",
    [
        b"\x32" + b"\xff" * 500_000,  # a size without end: a number of millions of bits
        b"\x7a\x00" * 400_000,  # as many units of nothing
        b"\x0a\x0a" + bytes(10),  # another size further on
    ],
    ids=["size", "units", "sequence"],
)
def test_an_avif_that_would_keep_its_reader_busy_is_refused_at_once(more: bytes) -> None:
    avif = encode_upload(np.zeros((60, 70, 3), np.uint8), "AVIF", 40)
    own = avif[avif.index(b"mdat") + 4 :]
    assert decode_upload(stream_of(avif, own), MOST, MOST).shape == (60, 70, 3)
    with pytest.raises(InvalidInput, match="not one that a router writes"):
        decode_upload(stream_of(avif, own + more), 2 * MOST, MOST)


def test_an_avif_without_facts_or_of_endless_boxes_is_refused() -> None:
    avif = encode_upload(np.zeros((60, 70, 3), np.uint8), "AVIF", 40)
    boxes = b"".join((8).to_bytes(4, "big") + number.to_bytes(4, "big") for number in range(50_000))
    for wrong in (avif.replace(b"ipco", b"ipcx"), avif + boxes):
        with pytest.raises(InvalidInput, match="not one that a router writes"):
            decode_upload(wrong, MOST, MOST)


def test_an_avif_is_read_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)  # as many as there are cores
    decode_upload(encode_upload(np.zeros((60, 70, 3), np.uint8), "AVIF", 40), MOST, MOST)
    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1


def test_a_codec_that_fails_in_any_way_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to encode image")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(InvalidInput, match="8x8 pixels cannot be AVIF: Failed to encode"):
        encode_upload(np.zeros((8, 8, 3), np.uint8), "AVIF", 40)


def test_what_webp_cannot_hold_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match="16400x8"):
        encode_upload(np.zeros((8, 16400, 3), np.uint8), "WebP", 75)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_are_refused_in_one_line(data: bytes, magic: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_photo(magic + data, MOST, MOST)
    assert "\n" not in str(refused.value)


@given(st.integers(0, 2000))
def test_a_photo_cut_anywhere_is_refused_unless_its_pixels_are_all_there(where: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    whole = saved(pixels, "PNG")
    try:
        assert np.array_equal(decode_photo(whole[:where], MOST, MOST), pixels)
        assert where >= len(whole) - 24, "checksums and the end chunk hold no pixels"
    except InvalidInput:
        assert where < len(whole) - 12


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_masks_come_back_as_they_were(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    assert (decode_mask(encode_mask(mask)) == mask).all()


def test_what_is_no_mask_is_refused() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (20, 20), dtype=np.uint8)
    coloured, cut = saved(np.zeros((2, 2, 3), np.uint8), "PNG"), encode_mask(noise)[:200]
    for data in (b"", b"PNG", coloured, cut):
        with pytest.raises(MessageError):
            decode_mask(data)
