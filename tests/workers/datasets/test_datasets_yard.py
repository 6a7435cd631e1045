"""The yard: repeatable, labelled right, drifting in light only; and frozen, because weights and figures rest on it."""

import hashlib

import numpy as np
import pytest

from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import CLASSES, HEIGHT, LIGHTS, PALETTE, VOID, WEATHERS, WIDTH, Yard

FROZEN = [
    # (uri, frame, SHA-256 of the label map, mean RGB of the four quarters of the picture)
    (
        "yard:day?seed=3",
        4,
        "c88d6638b22ece20",
        [133.5, 153.7, 176.7, 170.5, 183.2, 194.8, 129.3, 128.1, 121.5, 144.8, 136.7, 126.8],
    ),
    (
        "yard:dusk?seed=3",
        17,
        "d0303f7beb10e61b",
        [83.6, 77.8, 94.2, 64.4, 62.6, 84.7, 93.6, 89.5, 98.0, 56.6, 58.4, 75.3],
    ),
    (
        "yard:dusk?seed=4&weather=rain",
        25,
        "b8e7afa9a477c6c8",
        [132.6, 102.4, 96.0, 130.9, 100.2, 94.2, 93.6, 76.1, 78.7, 80.0, 64.7, 69.0],
    ),
    (
        "yard:day?seed=4&weather=fog",
        31,
        "d84b87356ff18cf1",
        [192.5, 197.8, 202.2, 192.2, 195.2, 197.4, 175.1, 173.1, 167.8, 166.5, 164.5, 157.5],
    ),
    (
        "yard:night?seed=9",
        8,
        "7e34c0bfdb9d04cc",
        [18.9, 19.7, 25.1, 20.1, 21.1, 26.1, 57.0, 51.8, 47.4, 26.1, 26.5, 30.4],
    ),
]


@pytest.mark.parametrize(("uri", "frame", "label_digest", "quarters"), FROZEN)
def test_the_generator_is_frozen(uri: str, frame: int, label_digest: str, quarters: list[float]) -> None:
    sample = open_dataset(uri)[frame]
    assert sample.label is not None
    assert hashlib.sha256(sample.label.tobytes()).hexdigest()[:16] == label_digest
    # colours pass through float32, whose last bit differs between processors
    means = sample.image.reshape(2, HEIGHT // 2, 2, WIDTH // 2, 3).mean(axis=(1, 3)).reshape(-1)
    assert means == pytest.approx(quarters, abs=0.2)


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("weather", WEATHERS)
def test_every_light_and_weather_is_a_photo_with_a_label(light: str, weather: str) -> None:
    sample = Yard(light, weather, seed=11, frames=20)[13]
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    assert sample.image.dtype == np.uint8
    assert sample.label is not None
    assert sample.label.shape == (HEIGHT, WIDTH)
    assert set(np.unique(sample.label)) <= {*range(len(CLASSES)), VOID}
    assert sample.image.std() > 8
    assert sample.name == f"yard-{light}-{weather}-11-00013"


def test_a_frame_is_the_same_whenever_and_in_whatever_order_it_is_asked_for() -> None:
    yard = Yard("dusk", "rain", seed=2, frames=30)
    later, earlier = yard[25], yard[3]
    again = Yard("dusk", "rain", seed=2, frames=400)
    assert (again[3].image == earlier.image).all()
    assert (again[25].image == later.image).all()


def test_light_and_weather_change_the_picture_and_not_the_yard() -> None:
    day, dusk = Yard("day", "clear", 6, 10)[2], Yard("dusk", "fog", 6, 10)[2]
    assert day.label is not None
    assert dusk.label is not None
    assert (day.label == dusk.label).all()
    assert day.image.mean() > dusk.image.mean() + 40


def test_frames_of_a_shot_resemble_each_other_and_other_shots_do_not() -> None:
    labels = [sample.label for sample in (Yard("day", "clear", 8, 40)[index] for index in (4, 5, 14, 24))]
    first, neighbour, other, third = (np.asarray(label) for label in labels)
    assert (first != neighbour).mean() < 0.1
    assert (first != other).mean() > 0.15
    assert (first != third).mean() > 0.15


def test_a_stream_shows_every_class() -> None:
    yard = Yard("day", "clear", 4, 40, shot=1)
    counts = sum(np.bincount(np.asarray(yard[index].label).reshape(-1), minlength=256) for index in range(40))
    assert (counts[: len(CLASSES)] / counts.sum() > 0.01).all()
    assert len(PALETTE) == len(CLASSES)


def test_frames_outside_the_stream_do_not_exist() -> None:
    with pytest.raises(IndexError):
        Yard("day", "clear", 1, 10)[10]
