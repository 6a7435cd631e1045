"""A real edge server of the other task: a class by the image route and by OIP, and no model of another task."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.adapters.photo import decode_photo
from umiak_workers.adapters.slots import Slots
from umiak_workers.contract import wire
from umiak_workers.contract.config import EdgeConfig, Tiling
from umiak_workers.contract.messages import PredictionHeader
from umiak_workers.core.tasks.classification import unpack
from umiak_workers.predictors.classification import OnnxClassifier

pytestmark = pytest.mark.processes


@pytest.fixture
def server(
    tmp_path: Path, role: Any, free_port: Callable[[], int], tiny_classifier: Callable[..., str]
) -> Iterator[tuple[str, Path, str]]:
    """(URL, state folder, digest) of a server that answers classes; it is asked for tiles, which a class has not."""
    state, port = tmp_path / "state", free_port()
    digest = tiny_classifier(state / "slots" / "a")
    Slots(state).write_current("a", digest)
    Slots(state).mark_good(digest)
    config = EdgeConfig(line="yard/watch", task="image-classification", regions=Tiling())
    made = role("edge", config, {"umiak://listen/edge": f"http://127.0.0.1:{port}"}, state=state)
    made.start().wait_ready(port)
    yield f"http://127.0.0.1:{port}", state, digest
    assert made.stop() == 0


def test_a_class_by_every_route_and_no_model_of_another_task(
    server: tuple[str, Path, str], jpeg: Callable[..., bytes], tiny_model: Callable[..., str]
) -> None:
    url, state, digest = server
    model, photo = OnnxClassifier(load_model(state / "slots" / "a"), 1), jpeg()
    pixels = decode_photo(photo, 10**6, 10**6)
    expected = model.predict(pixels)
    response = httpx.post(url + "/v1/predict", content=photo, timeout=30)
    header, rest = wire.unpack(PredictionHeader, response.headers[wire.HEADER_LENGTH], response.content)
    (payload,) = wire.split(rest, (header.mask_size,))
    assert (header.task, header.model, header.width, header.height) == ("image-classification", digest, 96, 64)
    assert header.tiles is None
    assert header.scores == expected.scores()
    assert unpack(payload).label == expected.label

    facts = httpx.get(url + "/v2/models/watch", timeout=30).json()
    assert facts["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [1, -1]}]
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, *pixels.shape], "data": pixels.ravel().tolist()}
    said = httpx.post(url + "/v2/models/watch/infer", json={"inputs": [tensor]}, timeout=30).json()
    (output,) = said["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [1, 4])
    assert np.allclose(output["data"], expected.probabilities, atol=1e-5)
    raw = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    answer = httpx.post(url + "/v2/models/watch/infer", json=raw, timeout=30)
    length = int(answer.headers[wire.HEADER_LENGTH])
    assert json.loads(answer.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert np.allclose(np.frombuffer(answer.content[length:], np.float32), expected.probabilities, atol=1e-5)
    wrong = {"inputs": [tensor], "outputs": [{"name": "labels"}]}
    refused = httpx.post(url + "/v2/models/watch/infer", json=wrong, timeout=30)
    assert (refused.status_code, "only 'probabilities'" in refused.text) == (400, True)

    other = tiny_model(state / "slots" / "b")
    refused = httpx.post(url + "/v1/reload", json={"digest": other}, timeout=30)
    assert refused.status_code == 422
    assert "task: tiny is a semantic-segmentation model, image-classification is answered here" in refused.text
    assert httpx.get(url + "/readyz", timeout=30).json()["active"] == digest
