"""The demo's scoreboard: sums by hand, gains with a sign, pictures that hold what the page needs."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from umiak_workers.bench.demo.report import collaborative, interval, stretch_result
from umiak_workers.bench.demo.scoring import BLOCK, Scoreboard, Scored, gain, miou, percentiles, series
from umiak_workers.bench.demo.stage import Picture, coloured
from umiak_workers.contract.artefact import Card, InputSpec, OutputSpec
from umiak_workers.contract.messages import Answer, Scores

CARD = Card(
    name="tiny",
    classes=("a", "b"),
    palette=((255, 0, 0), (0, 0, 255)),
    input=InputSpec(name="x", layout="NHWC", dtype="uint8", height=16, width=16),
    outputs=OutputSpec(logits="logits"),
    licence="Apache-2.0",
)
TRUTH = np.array([[0, 0], [1, 255]], np.uint8)
RIGHT = np.array([[0, 0], [1, 0]], np.uint8)
WRONG = np.array([[0, 1], [1, 1]], np.uint8)


def answer(bytes_up: int = 0) -> Answer:
    return Answer(
        frame="edge-1/http/1",
        revision=0,
        answered_by="cloud" if bytes_up else "edge",
        reason="CloudAnswered" if bytes_up else "Easy",
        rule="ScoreMargin" if bytes_up else "",
        scores=Scores(margin=0.5, max_probability=0.7, entropy=0.1),
        model="sha256:" + "0" * 64,
        captured_at=1.0,
        answered_at=1.1,
        stages_milliseconds={"edge": 10.0, "judge": 0.5, "log": 1.5, "total": 12.0},
        bytes_up=bytes_up,
    )


def board(frames: int) -> Scoreboard:
    found = Scoreboard(2)
    for index in range(frames):
        found.add("dusk", "edge-1", answer(100 if index % 2 else 0), TRUTH, {"edge": WRONG, "final": RIGHT}, 80)
    return found


def test_void_pixels_do_not_count_and_means_are_as_by_hand() -> None:
    frames = board(3).of("dusk")
    assert miou(frames, "final") == 1.0
    assert miou(frames, "edge") == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert miou(frames, "cloud_only") is None


def test_a_gain_has_a_sign_and_needs_a_block() -> None:
    frames = board(2 * BLOCK).of("dusk")
    up = gain(series(frames, "edge"), series(frames, "final"), 0)
    down = gain(series(frames, "final"), series(frames, "edge"), 0)
    assert up is not None
    assert down is not None
    assert up.miou == pytest.approx(0.5)
    assert down.miou == pytest.approx(-0.5)
    assert up.low <= up.miou <= up.high
    assert gain([], [], 0) is None


def test_figures_of_the_table() -> None:
    frames = board(4).of("dusk")
    found = collaborative(frames)
    assert (found.upload_fraction, found.bytes) == (0.5, 200)
    assert found.router_overhead_ms["all"] == {"p50": 2.0, "p95": 2.0}
    assert found.router_overhead_ms["easy"] == found.router_overhead_ms["hard"] == {"p50": 2.0, "p95": 2.0}
    assert stretch_result("dusk", frames).collaborative == 1.0
    assert percentiles([]) == {}
    assert interval(None) == "–"


def test_an_example_that_is_delivered_later_was_uploaded_too() -> None:
    late = answer().model_copy(update={"rule": "ScoreMargin", "reason": "DeadlineNear"})
    full = answer().model_copy(update={"rule": "ScoreMargin", "reason": "QueueFull"})
    frames = [Scored("dusk", "edge-1", found, {}, 80) for found in (late, full, answer(), answer(100))]
    found = collaborative(frames)
    assert (found.upload_fraction, found.bytes) == (0.5, 80 + 100)


def test_the_page_gets_plain_json_and_coloured_masks() -> None:
    picture = Picture(CARD)
    scored = Scored("dusk", "edge-1", answer(100), board(1).frames[0].counts, 4)
    picture.enter("dusk")
    picture.show(scored, b"jpeg", {"edge": WRONG, "final": RIGHT})
    state = json.loads(json.dumps(picture.state()))
    assert state["edges"][0]["images"] == {"photo": True, "edge": True, "final": True}
    assert state["rolling"]["final"] == [1.0]
    image = np.asarray(Image.open(io.BytesIO(coloured(TRUTH, CARD))).convert("RGB"))
    assert image[0, 0].tolist() == [255, 0, 0]
    assert image[1, 0].tolist() == [0, 0, 255]
    assert image[1, 1].tolist() == [0, 0, 0]
