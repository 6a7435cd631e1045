"""A real edge server of boxes, then of joints: answers by the image route and by OIP, and no model of another task."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from umiak_workers.adapters.artefacts import builtin_folder, load_model, read_artefact
from umiak_workers.adapters.photo import decode_photo
from umiak_workers.adapters.slots import Slots
from umiak_workers.contract import wire
from umiak_workers.contract.config import EdgeConfig, Tiling
from umiak_workers.contract.messages import PredictionHeader, Task
from umiak_workers.core.detection import decode_boxes
from umiak_workers.core.keypoints import decode_joints
from umiak_workers.predictors.answering import Answering, loaded

pytestmark = pytest.mark.processes
MODELS: dict[Task, str] = {"object-detection": "yard-detector-edge", "keypoint-detection": "figure-keypoints-edge"}
SHAPES: dict[Task, dict[str, tuple[str, list[int]]]] = {
    "object-detection": {
        "boxes": ("FP32", [1, -1, 4]),
        "classes": ("INT64", [1, -1]),
        "confidences": ("FP32", [1, -1]),
    },
    "keypoint-detection": {"joints": ("FP32", [1, -1, 2]), "confidences": ("FP32", [1, -1])},
}


@pytest.fixture(params=MODELS)
def server(
    tmp_path: Path, role: Any, free_port: Callable[[], int], request: pytest.FixtureRequest
) -> Iterator[tuple[str, Path, Task, Answering]]:
    """(URL, state folder, task, model) of a server that is asked for tiles, which such answers have not."""
    state, port, task = tmp_path / "state", free_port(), request.param
    (state / "slots").mkdir(parents=True)
    shutil.copytree(builtin_folder(MODELS[task]), state / "slots" / "a")
    digest = read_artefact(state / "slots" / "a").digest
    Slots(state).write_current("a", digest)
    Slots(state).mark_good(digest)
    config = EdgeConfig(line="yard/watch", task=task, regions=Tiling())
    made = role("edge", config, {"umiak://listen/edge": f"http://127.0.0.1:{port}"}, state=state)
    made.start().wait_ready(port)
    yield f"http://127.0.0.1:{port}", state, task, loaded(load_model(state / "slots" / "a"), 1)
    assert made.stop() == 0


def test_answers_by_every_route_and_no_model_of_another_task(
    server: tuple[str, Path, Task, Answering], jpeg: Callable[..., bytes], tiny_model: Callable[..., str]
) -> None:
    url, state, task, model = server
    photo = jpeg()
    pixels = decode_photo(photo, 10**6, 10**6)
    expected = model.predict(pixels)
    response = httpx.post(url + "/v1/predict", content=photo, timeout=30)
    header, rest = wire.unpack(PredictionHeader, response.headers[wire.HEADER_LENGTH], response.content)
    (payload,) = wire.split(rest, (header.mask_size,))
    assert (header.task, header.model, header.width, header.height) == (task, model.digest, 96, 64)
    assert header.tiles is None
    assert header.scores == expected.scores()
    assert (header.scores.confidences is not None) == (task == "object-detection")
    assert payload == expected.payload()
    names = model.card.classes
    if task == "object-detection":
        assert len(decode_boxes(payload, names)) == len(expected.tensors()["boxes"]) > 0
    else:
        assert decode_joints(payload, names).joints == pytest.approx(expected.tensors()["joints"], abs=0.006)

    facts = httpx.get(url + "/v2/models/watch", timeout=30).json()
    assert {one["name"]: (one["datatype"], one["shape"]) for one in facts["outputs"]} == SHAPES[task]
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, *pixels.shape], "data": pixels.ravel().tolist()}
    raw = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    answer = httpx.post(url + "/v2/models/watch/infer", json=raw, timeout=30)
    length = int(answer.headers[wire.HEADER_LENGTH])
    said, at = json.loads(answer.content[:length]), length
    assert all(isinstance(value, int | float) for value in said["parameters"].values())  # as the protocol has it
    for output in said["outputs"]:
        values = expected.tensors()[output["name"]]
        size = output["parameters"]["binary_data_size"]
        found = np.frombuffer(answer.content[at : at + size], values.dtype).reshape(output["shape"])
        assert (output["datatype"], found.ndim) == (SHAPES[task][output["name"]][0], values.ndim + 1)
        assert np.allclose(found[0], values, atol=1e-4)
        at += size
    assert at == len(answer.content)

    other = tiny_model(state / "slots" / "b")
    refused = httpx.post(url + "/v1/reload", json={"digest": other}, timeout=30)
    assert refused.status_code == 422
    assert f"task: tiny is a semantic-segmentation model, {task} is answered here" in refused.text
    assert httpx.get(url + "/readyz", timeout=30).json()["active"] == model.digest
