"""Photos with one class: folders, archives read in place, and windows of the yard whose classes are what they show."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.datasets.classified import ChosenPhotos, read_parts
from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import Yard
from umiak_workers.datasets.yard_watch import (
    CLASSES,
    HEIGHT,
    LEAST_PERSON,
    LEAST_VEHICLE,
    STEP,
    WIDTH,
    Watch,
    classes_of_windows,
)

PERSON, VEHICLE = 5, 6


def photo(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def folder(root: Path, *paths: str) -> Path:
    for value, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(photo(value))
    return root


def archive(file: Path, *paths: str) -> Path:
    with tarfile.open(file, "w:gz") as made:
        for value, path in enumerate(paths):
            data = photo(value)
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return file


PATHS = ("cats/b.png", "cats/a.png", "dogs/a.png", "dogs/notes.txt")


def test_a_folder_of_classes(tmp_path: Path) -> None:
    found = read_parts(folder(tmp_path, *PATHS))[""]
    assert found.classes == ("cats", "dogs")
    assert [(found[index].kind, found[index].name) for index in range(3)] == [
        (0, "cats-a"),
        (0, "cats-b"),
        (1, "dogs-a"),
    ]
    assert found[0].image[0, 0].tolist() == [1, 1, 1]
    few = ChosenPhotos(found, (2, 0), found.classes)
    assert [few[index].kind for index in range(len(few))] == [1, 0]


@pytest.mark.parametrize("around", ["", "cifar/", "./"])
def test_an_archive_with_parts_is_read_in_place(tmp_path: Path, around: str) -> None:
    paths = ("train/dogs/1.png", "train/cats/1.png", "val/cats/9.png", "train/cats/0.png")
    parts = read_parts(archive(tmp_path / "set.tar.gz", *(around + path for path in paths)))
    assert {name: len(part) for name, part in parts.items()} == {"train": 3, "val": 1}
    assert parts["val"].classes == parts["train"].classes == ("cats", "dogs")
    assert [parts["train"][index].image[0, 0, 0] for index in range(3)] == [3, 1, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar.gz"]


def test_what_is_no_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a folder"):
        read_parts(tmp_path / "nothing")
    (tmp_path / "broken.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=r"broken.tar.gz: not a readable archive"):
        read_parts(tmp_path / "broken.tar.gz")
    for name, paths, word in (
        ("one", ("cats/1.png", "cats/2.png"), "1 classes"),
        ("flat", ("1.png",), "lies in no folder"),
        ("loud", ("CATS/1.png",), "in lower case"),
        ("empty", ("cats/notes.txt",), "no photos"),
    ):
        with pytest.raises(ConfigError, match=word):
            read_parts(folder(tmp_path / name, *paths))
    cut = archive(tmp_path / "cut.tar.gz", "cats/1.png", "dogs/1.png")
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(ConfigError, match="not a readable archive"):
        read_parts(cut)


def test_a_photo_that_is_none_is_named(tmp_path: Path) -> None:
    folder(tmp_path, "cats/1.png", "dogs/1.png")
    (tmp_path / "dogs" / "1.png").write_bytes(b"no photo")
    with pytest.raises(InvalidInput, match=r"dogs.1.png: not a readable photo"):
        read_parts(tmp_path)[""][1]


def test_windows_hold_what_their_class_says() -> None:
    yard = open_dataset("yard:day?seed=3&frames=3&shot=1")
    assert isinstance(yard, Yard)
    watch = Watch(yard)
    seen = set()
    for index in range(len(watch)):
        sample, whole = watch[index], yard[index // 4]
        seen.add(sample.kind)
        assert sample.image.shape == (HEIGHT, WIDTH, 3)
        assert (watch[index].image == sample.image).all()
        assert whole.label is not None
        kinds = classes_of_windows(whole.label)
        found = np.argwhere(kinds == sample.kind) * STEP
        cut = [whole.image[top : top + HEIGHT, left : left + WIDTH] for top, left in found]
        assert any((one == sample.image).all() for one in cut)
    assert len(seen) >= 3
    assert watch.classes == CLASSES


def test_the_class_of_a_window_goes_by_its_pixels() -> None:
    label = np.zeros((240, 320), np.uint8)
    assert (classes_of_windows(label) == 0).all()
    label[:1, : LEAST_PERSON - 1] = PERSON
    assert classes_of_windows(label)[0, 0] == -1, "a trace"
    label[:1, :LEAST_PERSON] = PERSON
    assert classes_of_windows(label)[0, 0] == 1
    label[2:4, : LEAST_VEHICLE // 2] = VEHICLE
    assert classes_of_windows(label)[0, 0] == 3
    label[:1] = 0
    assert classes_of_windows(label)[0, 0] == 2
    assert classes_of_windows(label)[-1, -1] == 0
    everywhere = np.zeros((240, 320), np.uint8)
    everywhere[100:101, ::9] = PERSON
    assert (classes_of_windows(everywhere) == 0).all(), "nothing but traces"
