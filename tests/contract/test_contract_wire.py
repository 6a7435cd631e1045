"""The one codec: a header in JSON, blobs behind it, each part checked before it is believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import (
    Answer,
    AnswerHeader,
    Box,
    CloudAnswerHeader,
    PredictionHeader,
    Region,
    Scores,
    Tiles,
)
from umiak_workers.contract.topics import EVERY_PRESENCE, Topic, line_hint, presence
from umiak_workers.contract.wire import HEADER_LENGTH, Message, pack, parse, split, unpack


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_what_is_packed_is_unpacked(blobs: list[bytes]) -> None:
    regions = tuple(Region(box=Box(left=0, top=0, width=1, height=1), size=len(b), confidence=0.5) for b in blobs)
    header = CloudAnswerHeader(frame="edge-1/http/7", regions=regions)
    headers, body = pack(header, tuple(blobs))
    again, rest = unpack(CloudAnswerHeader, headers[HEADER_LENGTH], body)
    assert again == header
    assert split(rest, tuple(region.size for region in again.regions)) == tuple(blobs)


@pytest.mark.parametrize("length", [None, "", "x", "0", "-1", "999999"])
def test_a_wrong_header_length_is_named(length: str | None) -> None:
    with pytest.raises(MessageError, match=HEADER_LENGTH):
        unpack(AnswerHeader, length, b"{}")


def test_an_error_names_the_field() -> None:
    with pytest.raises(MessageError, match=r"CloudAnswerHeader: .*frame"):
        parse(CloudAnswerHeader, b'{"regions": []}')


@pytest.mark.parametrize("text", [b'{"frame": "e/s/1", "regions": [], "models": {"sam": NaN}}', b"\xff", b"[]", b""])
def test_noise_is_a_message_error(text: bytes) -> None:
    with pytest.raises(MessageError):
        parse(CloudAnswerHeader, text)


def test_unknown_fields_of_a_newer_release_are_ignored() -> None:
    text = b'{"version": 1, "frame": "e/s/1", "regions": [], "invented_later": {"a": 1}}'
    assert parse(CloudAnswerHeader, text).frame == "e/s/1"


def test_a_reason_of_a_newer_release_is_some_other_one() -> None:
    answer = {
        "frame": "e/s/1",
        "revision": 0,
        "answered_by": "edge",
        "reason": "InventedLater",
        "scores": {"margin": 0.5, "max_probability": 0.7, "entropy": 0.3},
        "model": "sha256:" + "a" * 64,
        "captured_at": 1.0,
        "answered_at": 2.0,
    }
    assert parse(Answer, json.dumps(answer).encode()).reason == "Other"
    assert parse(Answer, json.dumps({**answer, "reason": "Easy"}).encode()).reason == "Easy"
    with pytest.raises(MessageError, match="reason"):
        parse(Answer, json.dumps({**answer, "reason": 7}).encode())


SAID = PredictionHeader(
    model="sha256:" + "a" * 64,
    line="yard/street",
    width=64,
    height=32,
    scores=Scores(margin=0.5, max_probability=0.7, entropy=0.3),
    inference_milliseconds=2.0,
    mask_size=9,
)


class OldPredictionHeader(Message):
    """What a router of the release before tiles reads."""

    model: str
    width: int
    mask_size: int


def test_tiles_travel_and_a_router_of_before_reads_past_them() -> None:
    tiles = Tiles(side=32, rows=1, columns=2, hardness=(0, 255))
    headers, body = pack(SAID.model_copy(update={"tiles": tiles}), ())
    assert unpack(PredictionHeader, headers[HEADER_LENGTH], body)[0].tiles == tiles
    assert unpack(OldPredictionHeader, headers[HEADER_LENGTH], body)[0].mask_size == 9
    headers, body = pack(SAID, ())
    assert b"tiles" not in body
    assert unpack(PredictionHeader, headers[HEADER_LENGTH], body)[0].tiles is None


@pytest.mark.parametrize(
    "text",
    [
        '{"side": 8, "rows": 2, "columns": 2, "hardness": [1, 2, 3]}',
        '{"side": 8, "rows": 1, "columns": 1, "hardness": [256]}',
        '{"side": 0, "rows": 1, "columns": 1, "hardness": [1]}',
        '{"side": 8, "rows": 1, "columns": 20000, "hardness": [' + ",".join("1" * 20000) + "]}",
    ],
)
def test_tiles_must_be_complete_and_within_bounds(text: str) -> None:
    with pytest.raises(MessageError, match="Tiles"):
        parse(Tiles, text)


def test_a_segmentations_bytes_are_those_of_before_and_say_their_task() -> None:
    said = (
        b'{"version":1,"frame":"edge-1/cam/3","task":"semantic-segmentation","regions":[{"box":{"left":0,"top":0,'
        b'"width":4,"height":2},"size":9,"confidence":0.5}],"models":{"edge":"sha256:1"},"stages_milliseconds":{}}'
    )
    header = parse(CloudAnswerHeader, said)
    assert pack(header, ())[1] == said
    assert parse(CloudAnswerHeader, said.replace(b'"task":"semantic-segmentation",', b"")) == header
    classes = parse(CloudAnswerHeader, said.replace(b"semantic-segmentation", b"image-classification"))
    assert classes.task == "image-classification"
    with pytest.raises(MessageError, match="task"):
        parse(CloudAnswerHeader, said.replace(b"semantic-segmentation", b"poetry"))


@pytest.mark.parametrize("sizes", [(3,), (1, 2, 3), (-1, 6), ()])
def test_blobs_must_fit_exactly(sizes: tuple[int, ...]) -> None:
    with pytest.raises(MessageError, match="bytes"):
        split(b"12345", sizes)


def test_topics_are_built_and_parsed_alike() -> None:
    assert presence("default", "yard", "edge-1") == "umiak/v1/default/jointinference/yard/edge-1/presence"
    assert str(Topic.parse(line_hint("default/yard-edge"))) == "umiak/v1/default/line/yard-edge/-/hint"
    assert EVERY_PRESENCE.count("+") == 3
    for wrong in ("umiak/v2/a/b/c/d/presence", "umiak/v1/a/b/c/d/shout", "presence", "umiak/v1/a/b/c/presence"):
        with pytest.raises(MessageError, match="not a topic"):
            Topic.parse(wrong)
