"""The evidence of collaboration: curves, routers and their replay, on photos whose truth is in their colours."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.bench.joint import run
from umiak_workers.bench.joint.curve import Point, area_fraction, at_bytes, gain_kept
from umiak_workers.bench.joint.evidence import Seen, look
from umiak_workers.bench.joint.link import Link, Sending
from umiak_workers.bench.joint.replay import Setting, highest, replay
from umiak_workers.bench.joint.resources import resources
from umiak_workers.bench.joint.routers import Router, gained, routers
from umiak_workers.bench.joint.spending import Spent, spending
from umiak_workers.bench.joint.uploads import Codec
from umiak_workers.cli.bench import app
from umiak_workers.contract.artefact import Card, InputSpec, OutputSpec
from umiak_workers.core.regions import Grid
from umiak_workers.datasets.sample import Listed, Sample, walk
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.segmentation import SegmentationOutput

HEIGHT, WIDTH, SIDE = 64, 96, 16
GRID = Grid(HEIGHT, WIDTH, SIDE)
CARD = Card(
    name="colours",
    classes=("dark", "bright"),
    input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=HEIGHT, width=WIDTH),
    outputs=OutputSpec(logits="logits"),
    licence="Apache-2.0",
)


@dataclass(frozen=True)
class Colours:
    """A model that reads the class off the red channel; where green is high it guesses, if it is the weak one."""

    weak: bool
    card: Card = CARD
    digest: str = ""

    def predict(self, image: NDArray[np.uint8]) -> SegmentationOutput:
        bright = image[:, :, 0].astype(np.float32) / 255 > 0.5
        sure = np.full(image.shape[:2], 4.0, np.float32)
        if self.weak:
            unclear = image[:, :, 1] > 128
            bright, sure = bright ^ unclear, np.where(unclear, np.float32(0.2), sure)
        logits = np.stack((np.where(bright, -sure, sure), np.where(bright, sure, -sure))).astype(np.float32)
        return SegmentationOutput(bright.astype(np.uint8), logits[:, ::4, ::4])

    def check_golden(self) -> None:
        pass


def photos(count: int = 12) -> Listed:
    """Half of the photos have one tile in six that only the strong model reads."""
    samples = []
    for index in range(count):
        rng = np.random.default_rng(index)
        label = rng.integers(0, 2, (GRID.rows, GRID.columns), dtype=np.uint8)
        unclear = (rng.random(label.shape) < 1 / 6) & (index % 2 == 0)
        parts = [255 * label, 255 * unclear.astype(np.uint8), np.zeros_like(label)]
        image = np.stack([part.repeat(SIDE, axis=0).repeat(SIDE, axis=1) for part in parts], axis=2)
        image[:, :, 2] = rng.integers(0, 256, image.shape[:2], dtype=np.uint8)  # detail that costs bytes
        samples.append(Sample(image, label.repeat(SIDE, axis=0).repeat(SIDE, axis=1), f"drive_{index:03}"))
    return Listed(samples)


def setting() -> Setting:
    return Setting(Colours(weak=False), Codec("WebP", 90), GRID, Sending(Link(20e6, 0.04)), 250.0, 1, (1000, 9000))


def evidence() -> list[Seen]:
    return look(photos(), Colours(weak=True), Colours(weak=False), Codec("WebP", 90), 8, lambda: None)


def router(name: str, regions: bool) -> Router:
    maps = ("ScoreMargin", "MaxProbability", "Entropy")
    return next(router for router in routers(maps, 1) if (router.name, router.regions) == (name, regions))


def curve(name: str, regions: bool, shares: tuple[float, ...]) -> list[Point]:
    return replay(router(name, regions), evidence(), shares, setting(), lambda: None)[0]


def point(size: float, miou: float) -> Point:
    return Point(0, size, miou, miou, miou, miou, spending([Spent({})], 1.0))


def test_the_highest_scores_are_chosen_and_no_more_however_many_are_equal() -> None:
    scores = [np.array([[0.5, 0.5], [0.9, 0.5]]), np.array([[0.1, 0.5], [0.5, 0.2]])]
    first, second = highest(scores, 3 / 8)
    assert first.tolist() == [[True, True], [True, False]]
    assert not second.any()
    assert not any(part.any() for part in highest(scores, 0.0))
    assert all(part.all() for part in highest(scores, 1.0))


def test_a_curve_is_read_between_its_points_and_ends_level() -> None:
    points = [point(100, 0.8), point(0, 0.4), point(50, 0.7)]
    assert at_bytes(points, 25) == pytest.approx(0.55)
    assert at_bytes(points, 500) == 0.8
    assert gain_kept(points, 50, edge=0.4, cloud=0.8) == pytest.approx(0.75)
    assert np.isnan(gain_kept(points, 50, edge=0.8, cloud=0.8))


def test_area_runs_from_random_to_oracle() -> None:
    low, middle, high = ([point(0, 0.4), point(50, height), point(100, 0.8)] for height in (0.6, 0.7, 0.8))
    assert area_fraction(low, low, high) == 0
    assert area_fraction(high, low, high) == 1
    assert area_fraction(middle, low, high) == pytest.approx(0.5)


def test_the_ends_of_every_frame_curve_are_edge_alone_and_cloud_alone() -> None:
    seen = evidence()
    for router in routers(tuple(seen[0].scores), 1):
        if not router.regions:
            nothing, everything = replay(router, seen, (0.0, 1.0), setting(), lambda: None)[0]
            assert (nothing.upload_fraction, nothing.bytes) == (0, 0)
            assert nothing.counts[0].tolist() == seen[0].edge_counts.tolist()
            assert everything.upload_fraction == 1
            assert everything.bytes == np.mean([len(photo.upload) for photo in seen])
            assert everything.miou > 0.99


@pytest.mark.parametrize("name", ["ScoreMargin", "MaxProbability", "Entropy", "Oracle"])
@pytest.mark.parametrize("regions", [False, True])
def test_doubt_finds_what_the_cloud_can_mend_and_chance_does_not(name: str, regions: bool) -> None:
    share = 0.5 if not regions else 0.09
    chance, informed = curve("Random", regions, (share,))[0], curve(name, regions, (share,))[0]
    assert informed.miou > 0.99 > chance.miou


def test_regions_need_fewer_bytes_than_photos_for_the_same_gain() -> None:
    tiles, frames = curve("ScoreMargin", True, (0.09,))[0], curve("ScoreMargin", False, (0.5,))[0]
    assert tiles.miou >= frames.miou
    assert tiles.bytes < frames.bytes
    assert tiles.upload_fraction < 0.12


def test_nothing_outside_the_chosen_tiles_changes() -> None:
    seen = evidence()
    photo = next(photo for photo in seen if gained(photo).any())
    asked = np.zeros((GRID.rows, GRID.columns))
    asked[0, 0] = 1
    only = Router("one tile", True, lambda photos, grid: [asked for _ in photos])
    ((answered,), _) = replay(only, [photo], (1 / asked.size,), setting(), lambda: None)
    inside = GRID.pixels(asked > 0)
    expected = np.where(inside, photo.cloud, photo.edge)
    wrong = int((expected != photo.label).sum())
    assert int(np.sum(answered.counts[0])) - int(np.trace(answered.counts[0])) == wrong


def test_accuracy_repeats_to_the_last_digit() -> None:
    first, again = (curve(name, True, (0.05, 0.2)) for name in ("Random", "Random"))
    assert [point.miou for point in first] == [point.miou for point in again]
    assert [point.bytes for point in first] == [point.bytes for point in again]


def test_a_slow_link_makes_uploads_late_and_leaves_the_rest_in_time() -> None:
    slow = replace(setting(), sending=Sending(Link(1e4, 0.5)))
    (half,), _ = replay(router("ScoreMargin", False), evidence(), (0.5,), slow, lambda: None)
    assert half.spending.deadline_hits == 0.5
    assert half.spending.latency["p95"] > 500


def test_a_row_spends_what_its_photos_spend_and_nothing_in_the_cloud_for_those_that_stay() -> None:
    nothing, half, everything = replay(router("ScoreMargin", False), evidence(), (0, 0.5, 1), setting(), lambda: None)[
        0
    ]
    assert nothing.spending.cpu_cloud == 0
    assert nothing.spending.stages["cloud"] == nothing.spending.stages["link"] == {"mean": 0, "p50": 0, "p95": 0}
    assert 0 < half.spending.cpu_cloud < everything.spending.cpu_cloud
    assert nothing.spending.cpu_edge < half.spending.cpu_edge < everything.spending.cpu_edge
    assert [point.spending.macs for point in (nothing, half, everything)] == [1000, 5500, 10_000]
    facts = everything.spending.as_json()
    assert facts["flops"] == 20_000
    assert facts["link"] == "computed"
    total = sum(stage["mean"] for stage in everything.spending.stages.values())
    assert total == pytest.approx(everything.spending.latency["mean"], abs=0.05)


@pytest.mark.processes
def test_rows_over_an_emulated_link_stand_beside_computed_ones_and_say_for_how_many_photos(
    toxiproxy: Path,
) -> None:
    seen, way = evidence(), Link(20e6, 0.04)
    with run.sending(run.Wanted(way, "20,40", toxiproxy, 4), seen) as (sending, said):
        carried = replace(setting(), sending=sending)
        (row,) = replay(router("ScoreMargin", False), seen, (1.0,), carried, lambda: None)[0]
    assert "emulated by Toxiproxy on loopback for 4 of 12 photos" in said
    assert (row.spending.carried, row.spending.as_json()["link"]) == (4, "emulated")
    assert row.spending.latency["mean"] > 0.95 * row.spending.computed["mean"]
    (kind,) = sending.kinds()
    assert (kind.uploads, kind.name) == (4, "photos written anew")
    assert kind.emulated["p50"] > 40
    same = replay(router("ScoreMargin", False), seen, (1.0,), setting(), lambda: None)[0][0]
    assert (same.miou, same.bytes) == (row.miou, row.bytes)


def test_without_toxiproxy_the_link_is_computed_and_says_so() -> None:
    with run.sending(run.Wanted(Link(20e6, 0.04), "20,40", None, 50), evidence()) as (sending, said):
        assert said == "link 20,40 (Mbit/s, ms): computed, not emulated (no toxiproxy-server on PATH)"
        assert sending.send("drive_000", "whole", b"photo", b"labels").emulated is None
    assert sending.kinds() == ()


def test_the_gate_of_a_learnt_or_simple_score_counts_the_map_that_it_reads() -> None:
    seen = evidence()
    chance, margin = (
        replay(router(name, True), seen, (0,), setting(), lambda: None)[1] for name in ("Random", "Entropy")
    )
    assert margin > float(np.mean([photo.gates["Entropy"].cpu for photo in seen])) > 0
    assert chance >= 0


def test_an_end_that_looks_more_often_computes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umiak_workers.bench.joint.resources.peak_megabytes", lambda *_: None)
    labeller, edge = (load_model(builtin_folder(name)) for name in ("yard-cloud", "yard-edge"))
    alone, both, often = (
        resources(models, 1, passes)
        for models, passes in (([labeller], 1), ([labeller, edge], 1), ([labeller, edge], 6))
    )
    assert None not in (alone.macs, both.macs, often.macs)
    assert often.macs == both.macs + 5 * alone.macs  # type: ignore[operator]
    assert often.parameters == both.parameters


DRIVE_CLASSES = ("ground", "sky", "building", "equipment", "line", "person", "vehicle")


def test_a_users_own_folder_gets_every_figure_that_the_evidence_is_made_of(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for drive, light in (("north", "day"), ("south", "dusk")):
        for number, sample in enumerate(walk(open_dataset(f"yard:{light}?seed=9&frames=2&shot=1"))):
            assert sample.label is not None
            Image.fromarray(sample.image).save(folder / "images" / f"{drive}_{number}.jpg", quality=90)
            Image.fromarray(sample.label).save(folder / "labels" / f"{drive}_{number}.png")
    out = tmp_path / "joint.json"
    told = ["joint", "--data", str(folder), "--edge", "builtin:yard-edge", "--cloud", "builtin:yard-cloud"]
    more = ["--carried", "0", "--sam", "builtin:yard-sam", "--sam-photos", "2", "--threads", "1", "--json", str(out)]
    result = CliRunner().invoke(app, told + more, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "computed, not emulated (--carried 0)" in result.output
    facts = json.loads(out.read_text())
    quality = {"miou", "low", "high", "pixel_accuracy", "classes", "sequences"}
    costs = {"latency_ms", "deadline_hits", "stages_ms", "cpu_seconds", "flops"}
    alone = [facts["edge_only"], facts["cloud_only"], *facts["edges"]]
    for one in alone:
        assert quality | costs | {"name", "parameters", "macs", "peak_rss_mb"} <= set(one)
        assert set(one["sequences"]) == {"north", "south"}
        assert set(one["classes"]) <= set(DRIVE_CLASSES)
    mean = sum(path.stat().st_size for path in (folder / "images").iterdir()) / 4
    assert facts["cloud_only"]["bytes"] == pytest.approx(mean, abs=0.1)
    assert facts["cloud_only"]["parameters"] > facts["edge_only"]["parameters"] > 100_000
    for miner in facts["miners"]:
        assert {"name", "curve", "oracle_area_fraction", "gain_kept", "gate_ms", "latency_ms"} <= set(miner)
        for point in miner["curve"]:
            assert {"upload_fraction", "bytes"} | quality | costs <= set(point)
            assert point["cpu_seconds"]["sum"] > 0
    ways = {(row["labels"], row["vote"], row["sam"]) for row in facts["fusion"]}
    votes = [(None, None), *((vote, "yard-sam") for vote in ("probability", "logits", "majority"))]
    assert ways == {(labels, *vote) for labels in ("edge", "labeller", "both") for vote in votes}
    looks = {(row["labels"], row["views"], row["codec"]) for row in facts["fusion"] if not row["sam"]}
    assert looks >= {("both", view, codec) for view in ("one", "mirrored", "closer") for codec in (None, "AVIF")}
    assert all("miou" in row for row in facts["fusion"])
    assert {row["photos"] for row in facts["fusion"] if row["sam"]} == {2}


def test_the_command_prints_its_tables_and_writes_figures_and_plot(tmp_path: Path) -> None:
    uri = "yard:dusk?seed=5&frames=3&shot=1"
    told = ["joint", "--data", uri, "--edge", "builtin:yard-edge", "--cloud", "builtin:yard-cloud"]
    files = ["--json", str(tmp_path / "joint.json"), "--plot", str(tmp_path / "joint.png")]
    result = CliRunner().invoke(app, [*told, *files, "--carried", "0", "--threads", "1"], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "joint.json").read_text())
    assert facts["cloud_only"]["miou"] > facts["edge_only"]["miou"]
    assert {(entry["name"], entry["chooses"]) for entry in facts["miners"]} >= {
        ("Entropy", "regions"),
        ("Oracle", "frames"),
        *((f"Quality {form}", "quality") for form in ("AVIF", "WebP", "JPEG")),
    }
    for entry in facts["miners"]:
        assert {"upload_fraction", "bytes", "miou"} <= set(entry["curve"][0])
        assert {"oracle_area_fraction", "gain_kept", "gate_ms", "latency_ms"} <= set(entry)
    assert "Quality" in result.output
    assert (tmp_path / "joint.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--link", "fast", "expected RATE,RTT"),
        ("--link", "0,40", "the rate is above 0"),
        ("--toxiproxy", "/nowhere/toxiproxy", "--toxiproxy /nowhere/toxiproxy: no program"),
        ("--edge", "https://models.example/edge", "expected a model folder, builtin:NAME or a file: URI"),
    ],
)
def test_bad_input_is_named(option: str, value: str, said: str) -> None:
    told = {"--data": "yard:day?seed=5&frames=1", "--edge": "builtin:yard-edge", "--cloud": "builtin:yard-cloud"}
    words = [word for pair in {**told, option: value}.items() for word in pair]
    result = CliRunner().invoke(app, ["joint", *words])
    assert result.exit_code != 0
    assert said in f"{result.output} {result.exception}"
