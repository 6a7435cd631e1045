"""Hard examples over real HTTP: what is answered, what is kept, and who may ask."""

import io

import numpy as np
import pytest
from cloud_kit import LINE, ROUTER, Tiny, Worker, box, photo_of
from hub_kit import HubKit, digest_of, token_of
from PIL import Image

from umiak_workers.adapters.photo import decode_photo
from umiak_workers.cloud.stages import STAGES
from umiak_workers.contract import routes, wire
from umiak_workers.contract.config import Codec
from umiak_workers.contract.messages import ModelRef
from umiak_workers.core.codec import encode_upload


def test_a_photo_is_answered_whole(cloud: Worker, tiny: Tiny) -> None:
    said = cloud.ask(photo_of(1))
    (region,), (labels,) = said.header.regions, said.labels
    assert region.box == box(0, 0, 96, 64)
    assert labels.shape == (64, 96)
    assert labels.max() < 3
    assert 1 / 3 <= region.confidence <= 1
    assert said.header.models == {
        "edge": tiny.edge_digest,
        "labeller": tiny.labeller_digest,
        "sam": tiny.sam_digest,
    }
    assert said.header.receipt is None


def test_every_stage_is_timed(cloud: Worker) -> None:
    stages = cloud.ask(photo_of(2), keep=True).header.stages_milliseconds
    assert set(stages) == set(STAGES)
    assert min(stages.values()) >= 0


def test_each_region_is_cut_from_the_same_opinion(cloud: Worker) -> None:
    photo = photo_of(3)
    whole = cloud.ask(photo).labels[0]
    said = cloud.ask(photo, regions=(box(0, 0, 10, 20), box(90, 60, 6, 4), box(5, 5, 1, 1)))
    assert [labels.shape for labels in said.labels] == [(20, 10), (4, 6), (1, 1)]
    assert np.array_equal(said.labels[0], whole[:20, :10])
    assert np.array_equal(said.labels[1], whole[60:, 90:])


def test_png_and_odd_sizes_are_answered(cloud: Worker) -> None:
    said = cloud.ask(photo_of(4, width=31, height=77, kind="PNG"))
    assert said.labels[0].shape == (77, 31)


def test_a_kept_example_lies_at_the_hub_with_its_label(cloud: Worker, hub: HubKit) -> None:
    photo = photo_of(5)
    said = cloud.ask(photo, keep=True, regions=(box(1, 2, 3, 4),))
    assert said.header.receipt is not None
    assert (said.header.receipt.outcome, said.header.receipt.digest) == ("stored", digest_of(photo))
    trainer = hub.client("trainer")
    info = next(one for one in trainer.every_sample("plant", "watch", 10**6).samples if one.frame == said.header.frame)
    assert trainer.sample_bytes("plant", "watch", info.position, "image") == photo
    label = np.asarray(Image.open(io.BytesIO(trainer.sample_bytes("plant", "watch", info.position, "label"))))
    assert label.shape == (64, 96)
    assert np.array_equal(label[2:6, 1:4], said.labels[0])


def test_a_retry_costs_nothing_and_is_stored_once(cloud: Worker, hub: HubKit) -> None:
    photo = photo_of(6)
    header = cloud.example(photo, keep=True)
    first = cloud.read(cloud.post(header, photo))
    remembered, watermark = cloud.metric("umiak_cloud_remembered_total"), _watermark(hub)
    second = cloud.read(cloud.post(header, photo))
    assert second.header.receipt == first.header.receipt
    assert np.array_equal(second.labels[0], first.labels[0])
    assert cloud.metric("umiak_cloud_remembered_total") == remembered + 1
    assert not {"decode", "edge", "sam_encode"} & set(second.header.stages_milliseconds)
    assert _watermark(hub) == watermark


def test_nothing_is_kept_that_is_only_a_measurement(cloud: Worker, hub: HubKit) -> None:
    before = _watermark(hub)
    said = cloud.ask(photo_of(7), keep=False)
    assert hub.client("router").receipt("plant", "watch", said.header.frame) is None
    assert _watermark(hub) == before


def test_a_measurement_is_thought_about_anew(cloud: Worker) -> None:
    photo = photo_of(13)
    cloud.ask(photo, keep=True)
    again = cloud.ask(photo, keep=False)
    assert {"decode", "edge", "sam_encode"} <= set(again.header.stages_milliseconds)


def test_a_lost_receipt_can_be_had_without_an_answer(cloud: Worker, hub: HubKit) -> None:
    said = cloud.ask(photo_of(8), keep=True, answer=False)
    assert said.header.regions == ()
    assert said.header.receipt == hub.client("router").receipt("plant", "watch", said.header.frame)


def test_a_question_about_nothing_is_refused(cloud: Worker) -> None:
    photo = photo_of(9)
    assert cloud.post(cloud.example(photo, keep=False, answer=False), photo).status_code == 400


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (None, 401),
        ("plant/watch/edge-1/agent", 403),
        ("plant/watch/edge-2/router", 403),
        ("plant/other/edge-1/router", 401),
        ("elsewhere/watch/edge-1/router", 401),
        ("plant/watch/-/cloud", 403),
        ("-/-/-/viewer", 401),
        ("plant/watch/-/router", 200),
    ],
)
def test_only_routers_of_this_resource_may_ask(cloud: Worker, who: str | None, status: int) -> None:
    photo = photo_of(10)
    assert cloud.post(cloud.example(photo), photo, who).status_code == status


def test_a_forged_token_is_refused(cloud: Worker) -> None:
    photo = photo_of(10)
    headers, body = wire.pack(cloud.example(photo), (photo,))
    forged = {**headers, "Authorization": "Bearer " + token_of(ROUTER)[:-64] + "0" * 64}
    assert cloud.raw(forged, body, None).status_code == 401


def test_health_readiness_and_metrics_need_no_token(cloud: Worker) -> None:
    assert cloud.http.get(routes.HEALTH_LIVE).status_code == 200
    assert cloud.http.get(routes.HEALTH_READY).json()["ready"] is True
    assert cloud.metric('umiak_cloud_stage_seconds_count{stage="vote"}') >= 0
    assert "umiak_cloud_waiting" in cloud.http.get(routes.METRICS).text


GOOD = photo_of(11)
WIDE = photo_of(12, width=400, height=300)


@pytest.mark.parametrize(
    ("photo", "changes", "status", "word"),
    [
        (b"", {"media": "image/jpeg"}, 400, "empty"),
        (b"GIF89a" + bytes(40), {"media": "image/png"}, 400, "not a JPEG or PNG"),
        (GOOD[:200], {}, 400, "decoded"),
        (GOOD, {"media": "image/png"}, 400, "media"),
        (GOOD, {"digest": "sha256:" + "0" * 64}, 400, "digest"),
        (GOOD, {"size": len(GOOD) - 1}, 400, "announced"),
        (GOOD, {"size": len(GOOD) + 9}, 400, "announced"),
        (WIDE, {}, 400, "pixels"),
        (GOOD + bytes(300_000), {}, 413, "at most"),
        (GOOD, {"regions": (box(90, 0, 10, 10),)}, 400, "leaves the photo"),
        (GOOD, {"model": ModelRef(line="plant/other", digest="sha256:" + "1" * 64)}, 400, "model.line"),
        (GOOD, {"model": ModelRef(line=LINE, digest="sha256:" + "1" * 64)}, 503, "does not have it"),
        (photo_of(0)[:2] + b"\xff" + bytes(500), {}, 400, "decoded"),
    ],
)
def test_what_cannot_be_used_is_named_and_does_no_harm(
    cloud: Worker, photo: bytes, changes: dict[str, object], status: int, word: str
) -> None:
    response = cloud.post(cloud.example(photo, **changes), photo)
    assert response.status_code == status, response.text
    assert word in response.json()["error"]
    assert "\n" not in response.json()["error"]
    assert (status == 503) == ("Retry-After" in response.headers)
    assert cloud.http.get(routes.HEALTH_READY).status_code == 200


def test_a_photo_that_the_edge_model_cannot_answer_is_refused(cloud: Worker) -> None:
    black = io.BytesIO()
    Image.new("RGB", (96, 64)).save(black, "PNG")
    response = cloud.post(cloud.example(black.getvalue()), black.getvalue())
    assert response.status_code == 422
    assert "cannot answer this photo" in response.json()["error"]


@pytest.mark.parametrize("length", ["", "x", "-1", "0", "999999"])
def test_a_wrong_header_length_is_named(cloud: Worker, length: str) -> None:
    headers, body = wire.pack(cloud.example(GOOD), (GOOD,))
    response = cloud.raw({**headers, wire.HEADER_LENGTH: length}, body)
    assert response.status_code == 400
    assert wire.HEADER_LENGTH in response.json()["error"]


@pytest.mark.parametrize("text", [b"{}", b"[]", b"null", b'{"frame": 3}', b"\xff\xfe", b'{"captured_at": NaN}'])
def test_a_header_that_is_none_is_named(cloud: Worker, text: bytes) -> None:
    response = cloud.raw({wire.HEADER_LENGTH: str(len(text))}, text)
    assert response.status_code == 400
    assert "ExampleHeader" in response.json()["error"]


def _watermark(hub: HubKit) -> int:
    return hub.client("viewer").samples("plant", "watch", 0, None, 1).watermark


@pytest.mark.parametrize(("codec", "media"), [("WebP", "image/webp"), ("AVIF", "image/avif"), ("JPEG", "image/jpeg")])
def test_a_foveated_photo_is_answered_in_its_regions(cloud: Worker, codec: Codec, media: str) -> None:
    image = decode_photo(photo_of(21), 10**6, 10**6)
    boxes = (box(0, 0, 32, 32), box(64, 32, 32, 32))
    said = cloud.ask(encode_upload(image, codec, 75), media=media, regions=boxes)
    assert [region.box for region in said.header.regions] == list(boxes)
    assert [labels.shape for labels in said.labels] == [(32, 32), (32, 32)]
    assert said.header.receipt is None


def test_a_foveated_photo_is_never_kept_and_bounded_like_any_other(cloud: Worker) -> None:
    photo = encode_upload(np.full((64, 96, 3), 90, np.uint8), "WebP", 75)
    large = encode_upload(np.full((400, 300, 3), 90, np.uint8), "WebP", 75)
    refused = [
        cloud.post(cloud.example(photo, media="image/webp", keep=True), photo),
        cloud.post(cloud.example(photo, media="image/jpeg"), photo),
        cloud.post(cloud.example(large, media="image/webp"), large),
        cloud.post(cloud.example(photo, media="image/webp", regions=(box(90, 0, 32, 32),)), photo),
    ]
    assert [response.status_code for response in refused] == [400] * 4
    says = ("not a JPEG or PNG", "the photo is image/webp", "300x400", "leaves the photo")
    for response, words in zip(refused, says, strict=True):
        assert words in response.json()["error"]
