"""Boxes from folders as people label them and from the yard; parts by runs of neighbours; what is wrong is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.datasets.box_source import open_boxes
from umiak_workers.datasets.boxes import indices_of, joined_boxes
from umiak_workers.datasets.yard import HEIGHT, WIDTH, Yard
from umiak_workers.datasets.yard_boxes import CLASSES, KINDS, YardBoxes

VOC = (
    "<annotation><object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
    "</object></annotation>"
)
CPLID = Path(__file__).resolve().parents[4] / "shared" / "data" / "cplid"


def photos(root: Path, *stems: str) -> Path:
    (root / "images").mkdir(parents=True)
    for stem in stems:
        Pillow.new("RGB", (40, 20), (10, 200, 30)).save(root / "images" / f"{stem}.png")
    return root


def written(root: Path, folder: str, **files: str) -> Path:
    (root / folder).mkdir(exist_ok=True)
    for name, text in files.items():
        stem, _, ending = name.rpartition("_")
        (root / folder / f"{stem}.{ending}").write_text(text)
    return root


def test_pascal_voc_with_a_file_for_each_class(tmp_path: Path) -> None:
    root = photos(tmp_path / "d", "a", "a_b", "c")
    written(
        root, "labels", a_defect_xml=VOC.format("defect", 2, 3, 12, 8), a_b_xml=VOC.format("insulator", -5, 0, 99, 9)
    )
    found = open_boxes(str(root))
    assert found.classes == ("defect", "insulator")
    assert len(found) == 2  # nobody labelled c
    assert found[0].boxes.tolist() == [[2, 3, 10, 5]]
    assert found[0].classes.tolist() == [0]
    assert found[1].name == "a_b"
    assert found[1].boxes.tolist() == [[0, 0, 40, 9]]  # cut at the photo's edges
    assert found[0].image.shape == (20, 40, 3)


def test_yolo_with_names_or_with_one_for_all(tmp_path: Path) -> None:
    root = photos(tmp_path / "d", "a", "b")
    written(root, "labels_yolo", a_txt="0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.1 0.1\n", b_txt="\n")
    merged = open_boxes(str(root), "all", ("hot spot",))
    assert merged.classes == ("hot spot",)
    assert merged[0].classes.tolist() == [0, 0]
    assert merged[0].boxes[0].tolist() == pytest.approx([15, 5, 10, 10])
    assert len(merged[1].boxes) == 0  # labelled: nothing there
    with pytest.raises(ConfigError, match="--classes"):
        open_boxes(str(root))
    written(root, "labels_yolo", classes_txt="line\nyard\n")
    assert open_boxes(str(root))[0].classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a_xml", "<annotation", "not a Pascal VOC label"),
        ("a_xml", VOC.format("x", 1, 2, "three", 4), "not a Pascal VOC label"),
        ("a_xml", VOC.format("", 1, 2, 3, 4), "without a name"),
        ("a_xml", VOC.format("x", 50, 2, 60, 4), "no part in a photo"),
        ("a_txt", "0 0.5 0.5\n", "line 1 is not CLASS X Y WIDTH HEIGHT"),
        ("a_txt", "0 nan 0.5 0.1 0.1\n", "no part in a photo"),
        ("a_txt", "7 0.5 0.5 0.1 0.1\n", "class '7' is none of one, two"),
    ],
)
def test_a_broken_label_names_its_file(tmp_path: Path, name: str, text: str, message: str) -> None:
    root = written(photos(tmp_path / "d", "a"), "labels", **{name: text})
    with pytest.raises(InvalidInput, match=rf"a\.(xml|txt).*{message}"):
        open_boxes(str(root), "all", () if name == "a_xml" else ("one", "two"))[0]


def test_a_folder_without_labels_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels/STEM\.xml"):
        open_boxes(str(photos(tmp_path / "d", "a")))
    written(tmp_path / "d", "labels", other_xml=VOC.format("x", 1, 2, 3, 4))
    with pytest.raises(ConfigError, match="named like a photo"):
        open_boxes(str(tmp_path / "d"))


def test_parts_are_runs_of_neighbours() -> None:
    train, val = indices_of(560, "train"), indices_of(560, "val")
    assert sorted(train + val) == list(range(560)) == list(indices_of(560, "all"))
    assert val[:20] == tuple(range(80, 100))
    assert len(val) == 100
    assert len(indices_of(30, "val")) == 6
    with pytest.raises(ConfigError, match="too few"):
        indices_of(4, "val")


def test_train_and_val_folders_win_over_runs(tmp_path: Path) -> None:
    for part in ("train", "val"):
        written(photos(tmp_path / part, part), "labels", **{f"{part}_xml": VOC.format("x", 1, 2, 3, 4)})
    assert open_boxes(str(tmp_path), "val")[0].name == "val"
    with pytest.raises(ConfigError, match="name one of them"):
        open_boxes(str(tmp_path))


def test_yard_boxes_are_where_the_label_map_says() -> None:
    boxed, labelled = YardBoxes(Yard("day", "clear", 5, 12, 1)), Yard("day", "clear", 5, 12, 1)
    counts = np.zeros(len(CLASSES), np.int64)
    ids = {0: 5, 1: 6, 2: 3}  # person, vehicle, equipment in the yard's own classes
    for index in range(12):
        photo, label = boxed[index], labelled[index].label
        assert label is not None
        assert (photo.image == labelled[index].image).all()
        counts += np.bincount(photo.classes, minlength=len(CLASSES))
        for (left, top, width, height), kind in zip(photo.boxes.astype(int), photo.classes, strict=True):
            assert 0 <= left < left + width <= WIDTH
            assert 0 <= top < top + height <= HEIGHT
            inside = label[top : top + height, left : left + width] == ids[int(kind)]
            # the box is tight: its outermost rows and columns hold the thing
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    assert (counts >= 5).all()
    assert set(KINDS.values()) == {0, 1, 2}


def test_joined_data_speak_of_the_same_classes(tmp_path: Path) -> None:
    yard = open_boxes("yard:day?seed=5&frames=2&shot=1")
    both = joined_boxes([yard, yard])
    assert len(both) == 4
    assert both[3].name == yard[1].name
    other = written(photos(tmp_path / "d", "a"), "labels", a_xml=VOC.format("x", 1, 2, 3, 4))
    with pytest.raises(ConfigError, match="unlike classes"):
        joined_boxes([yard, open_boxes(str(other))])


@pytest.mark.skipif(not CPLID.is_dir(), reason="the shared data sets are not here")
def test_real_insulators_are_read() -> None:
    found = open_boxes(str(CPLID), "val")
    assert found.classes == ("defect", "insulator")
    assert len(found) == 100
    assert sum(len(found[index].boxes) for index in range(0, 100, 10)) >= 10
