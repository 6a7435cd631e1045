"""Folders of photos, and the URIs that name data sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.datasets.folder import open_folder
from umiak_workers.datasets.sample import Chosen, Joined, Listed, Sample, sequences, walk
from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import Yard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name, level in (("b.png", 200), ("a.jpg", 90)):
        Image.new("RGB", (8, 6), (level, level, level)).save(tmp_path / "images" / name)
    Image.new("L", (8, 6), 3).save(tmp_path / "labels" / "b.png")
    (tmp_path / "images" / "notes.txt").write_text("no photo")
    return tmp_path


def test_photos_come_by_name_with_labels_where_there_are_some(folder: Path) -> None:
    first, second = walk(open_folder(folder))
    assert (first.name, second.name) == ("a", "b")
    assert first.label is None
    assert second.image.shape == (6, 8, 3)
    assert second.image.dtype == np.uint8
    assert second.label is not None
    assert (second.label == 3).all()


def test_photos_stand_upright_as_their_camera_says(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the photo has to be turned by 90 degrees
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "turned.jpg", exif=exif)
    assert open_folder(tmp_path)[0].image.shape == (8, 6, 3)


def test_label_of_another_size_is_refused_with_its_name(folder: Path) -> None:
    Image.new("L", (4, 4)).save(folder / "labels" / "a.png")
    with pytest.raises(InvalidInput, match=r"a\.png"):
        open_folder(folder)[0]


def test_label_with_colours_is_refused(folder: Path) -> None:
    Image.new("RGB", (8, 6)).save(folder / "labels" / "a.png")
    with pytest.raises(InvalidInput, match="class ids"):
        open_folder(folder)[0]


def test_truncated_photo_is_refused_with_its_name(folder: Path) -> None:
    whole = (folder / "images" / "b.png").read_bytes()
    (folder / "images" / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match=r"b\.png"):
        open_folder(folder)[1]


def test_folders_without_photos_or_with_twins_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="images/ is missing"):
        open_folder(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ConfigError, match="no photos"):
        open_folder(tmp_path)
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / name)
    with pytest.raises(ConfigError, match="share a name"):
        open_folder(tmp_path)


def test_uris_name_yards_and_folders(folder: Path) -> None:
    assert open_dataset("yard:dusk?seed=7&frames=12&weather=fog&shot=3") == Yard("dusk", "fog", 7, 12, 3)
    assert open_dataset("yard:day") == Yard("day", "clear", 0, 240, 10)
    assert len(open_dataset(folder.as_uri())) == len(open_dataset(str(folder))) == 2


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("yard:noon", "light is one of"),
        ("yard:day?weather=snow", "weather is one of"),
        ("yard:day?frames=0", "frames is a whole number"),
        ("yard:day?seed=-1", "seed is a whole number"),
        ("yard:day?sead=1", "unknown sead"),
        ("ftp://x/y", "a data set is"),
    ],
)
def test_wrong_uris_say_what_is_wrong(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_dataset(uri)


def test_joined_and_listed_sets_keep_order_and_bounds() -> None:
    samples = [Sample(np.zeros((2, 2, 3), np.uint8), None, name) for name in "abc"]
    joined = Joined((Listed(samples[:1]), Listed(samples[1:]), Listed(samples[:1])))
    assert [sample.name for sample in walk(joined)] == ["a", "b", "c", "a"]
    with pytest.raises(IndexError):
        joined[4]
    with pytest.raises(IndexError):
        joined[-1]


def test_a_sequence_is_what_its_names_begin_with_and_its_samples_can_be_picked() -> None:
    grey = np.zeros((4, 4, 3), np.uint8)
    names = ("0001TP_006690", "night-3", "0001TP_006720", "alone")
    samples = Listed([Sample(grey, None, name) for name in names])
    assert sequences(samples) == {"0001TP": (0, 2), "night": (1,), "alone": (3,)}
    picked = Chosen(samples, (2, 3))
    assert [sample.name for sample in walk(picked)] == ["0001TP_006720", "alone"]
    with pytest.raises(IndexError):
        picked[2]
