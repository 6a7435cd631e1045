"""Components, inner points and prompts: by literals, and against a slow flood fill for any map."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from umiak_workers.core.masks import NOTHING, Prompt, components, inner_points, lead, prompts_from

MAPS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 2, 255]))


def flooded(labels: np.ndarray) -> list[frozenset[tuple[int, int]]]:
    """Sets of pixels, found one by one."""
    height, width = labels.shape
    left, found = {(y, x) for y in range(height) for x in range(width) if labels[y, x] != 255}, []
    while left:
        edge = [min(left)]
        part = set(edge)
        while edge:
            y, x = edge.pop()
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if place in left - part and labels[place] == labels[y, x]:
                    part.add(place)
                    edge.append(place)
        left -= part
        found.append(frozenset(part))
    return found


@given(MAPS)
def test_components_are_what_a_flood_fill_finds(labels: np.ndarray) -> None:
    found = components(labels)
    sets = [frozenset(zip(*map(list, np.nonzero(found.mask(index))), strict=True)) for index in range(len(found))]
    assert {frozenset((int(y), int(x)) for y, x in part) for part in sets} == set(flooded(labels))
    assert [len(part) for part in sets] == found.areas.tolist() == sorted(found.areas.tolist(), reverse=True)
    assert np.array_equal(found.ids == NOTHING, labels == 255)


@given(MAPS)
def test_boxes_and_classes_describe_their_component(labels: np.ndarray) -> None:
    found = components(labels)
    for index, (left, top, width, height) in enumerate(found.boxes.tolist()):
        rows, columns = np.nonzero(found.mask(index))
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert {int(value) for value in labels[rows, columns]} == {int(found.classes[index])}


@given(MAPS)
def test_an_inner_point_lies_inside(labels: np.ndarray) -> None:
    found = components(labels)
    for index, (x, y) in enumerate(inner_points(found).tolist()):
        assert found.ids[y, x] == index


def test_a_snake_is_one_component() -> None:
    snake = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]], np.uint8)
    found = components(snake)
    assert found.areas.tolist() == [17, 8]
    assert found.classes.tolist() == [1, 0]
    assert found.boxes.tolist() == [[0, 0, 5, 5], [0, 1, 4, 3]]


def test_equal_areas_come_in_reading_order() -> None:
    assert components(np.array([[3, 0, 2]], np.uint8)).classes.tolist() == [3, 0, 2]


def test_an_inner_point_is_in_the_middle() -> None:
    field = np.full((7, 9), 255, np.uint8)
    field[1:6, 2:7] = 4
    assert inner_points(components(field)).tolist() == [[4, 3]]


def test_a_point_of_a_ring_is_on_the_ring() -> None:
    ring = np.full((9, 9), 1, np.uint8)
    ring[2:7, 2:7] = 255
    (x, y) = inner_points(components(ring))[0]
    assert ring[y, x] == 1


def test_lead_is_best_minus_second() -> None:
    shares = np.array([[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], np.float32)
    assert lead(shares) == pytest.approx([0.2, 0.5])
    assert lead(np.array([0.4], np.float32)) == pytest.approx(0.4)


def sure_of(labels: np.ndarray, classes: int = 3, by: float = 0.9) -> np.ndarray:
    """Probabilities that favour `labels`."""
    rest = (1 - by) / (classes - 1)
    return np.where(np.arange(classes)[:, None, None] == labels, by, rest).astype(np.float32)


def test_prompts_are_boxes_with_points_largest_first() -> None:
    labels = np.zeros((8, 10), np.uint8)
    labels[1:4, 1:4] = 1
    labels[6:8, 7:9] = 2
    asked = prompts_from(sure_of(labels), limit=9, minimum_area=1, uncertain_below=0.2)
    assert asked[0].box == (0.0, 0.0, 10.0, 8.0)
    assert asked[1:] == (Prompt((1.0, 1.0, 4.0, 4.0), ((2.5, 2.5),)), Prompt((7.0, 6.0, 9.0, 8.0), ((7.5, 6.5),)))


def test_prompts_are_bounded_and_not_too_small() -> None:
    labels = np.zeros((8, 10), np.uint8)
    labels[1:4, 1:4] = 1
    labels[6:8, 7:9] = 2
    assert len(prompts_from(sure_of(labels), limit=2, minimum_area=1, uncertain_below=0.2)) == 2
    assert len(prompts_from(sure_of(labels), limit=9, minimum_area=5, uncertain_below=0.2)) == 2
    assert prompts_from(sure_of(labels), limit=9, minimum_area=81, uncertain_below=0.2) == ()


def test_where_nobody_is_sure_points_alone_ask() -> None:
    probability = sure_of(np.zeros((6, 6), np.uint8))
    probability[:, 1:4, 1:4] = 1 / 3
    asked = prompts_from(probability, limit=9, minimum_area=1, uncertain_below=0.2)
    assert Prompt(None, ((2.5, 2.5),)) in asked
    assert all(prompt.box is None for prompt in asked[1:])


def test_a_prompt_is_scaled_with_its_picture() -> None:
    asked = Prompt((1.0, 2.0, 3.0, 4.0), ((2.0, 3.0),)).scaled(10.0, 100.0)
    assert asked == Prompt((10.0, 200.0, 30.0, 400.0), ((20.0, 300.0),))
    assert Prompt(None, ((2.0, 3.0),)).scaled(2.0, 3.0) == Prompt(None, ((4.0, 9.0),))
