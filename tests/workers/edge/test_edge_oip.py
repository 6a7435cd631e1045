"""Reading infer requests: whatever is sent, the answer is a question or one clear InvalidInput."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.contract.errors import InvalidInput
from umiak_workers.contract.messages import Scores, Task
from umiak_workers.edge.oip import read_request, write_response

PIXELS = 10_000
TASK: Task = "semantic-segmentation"
scalars = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False) | st.text(max_size=8)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner), max_leaves=12
)


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": list(range(12))}
    return {"inputs": [{**tensor, **changes}]}


def read(value: Any) -> Any:
    return read_request(json.dumps(value).encode(), None, PIXELS, TASK)


def test_flat_and_nested_data_are_the_same() -> None:
    nested = np.arange(12).reshape(1, 2, 2, 3).tolist()
    assert (read(request()).image == read(request(data=nested)).image).all()
    assert read(request()).image.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": [1.5] * 12}, "whole numbers"),
        ({"data": [300] * 12}, "whole numbers"),
        ({"data": [-1] * 12}, "whole numbers"),
        ({"data": [1, [2, 3]]}, "ragged"),
        ({"data": list(range(11))}, "needs 12 values"),
        ({"data": []}, "whole numbers"),
        ({"shape": [1, 0, 2, 3]}, "shape"),
        ({"shape": [1, -2, -2, 3]}, "shape"),
        ({"shape": [2, 2, 1, 3]}, "shape"),
        ({"shape": [1, 2, 2, 4]}, "shape"),
        ({"shape": [1, 200, 200, 3]}, "at most"),
        ({"datatype": "FP32"}, "FP32"),
        ({"parameters": {"shared_memory_region": "x"}}, "not supported"),
        ({"data": None}, "binary_data_size"),
        ({"data": None, "parameters": {"binary_data_size": 12}}, "12"),
    ],
)
def test_wrong_inputs_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(request(**changes))


@given(anything)
def test_any_json_is_read_or_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        read(value)


@given(st.dictionaries(st.sampled_from(["name", "datatype", "shape", "data", "parameters"]), anything, min_size=1))
def test_any_tensor_is_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        assert read(request(**changes)).image.dtype == np.uint8
    except InvalidInput:
        return


@given(st.binary(max_size=200), st.none() | st.text(max_size=4))
def test_any_bytes_are_refused(body: bytes, length: str | None) -> None:
    with pytest.raises(InvalidInput):
        read_request(body, length, PIXELS, TASK)


def test_a_response_says_scores_and_nothing_that_the_model_does_not_have() -> None:
    labels = np.zeros((1, 1), np.uint8)
    scores = Scores(margin=0.5, max_probability=0.7, entropy=0.9)
    for one in (scores, scores.model_copy(update={"appeal": -0.25})):
        _, body = write_response("m", "v", read(request()), {"labels": labels}, one)
        assert json.loads(body)["parameters"] == one.model_dump(exclude_none=True)


@given(st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_response_says_how_large_its_parts_are(height: int, width: int, binary: bool) -> None:
    asked = request()
    asked["parameters"] = {"binary_data_output": binary}
    labels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    scores = Scores(margin=0.5, max_probability=0.7, entropy=0.9)
    headers, body = write_response("m", "v", read(asked), {"labels": labels}, scores)
    length = int(headers.get("Inference-Header-Content-Length", len(body)))
    output = json.loads(body[:length])["outputs"][0]
    if binary:
        assert output["parameters"]["binary_data_size"] == height * width
        assert body[length:] == labels.tobytes()
    else:
        assert output["data"] == labels.ravel().tolist()
