"""Open Inference Protocol v2 against a client that is not ours: tritonclient."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gevent.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tritonclient.*"),
]


@pytest.fixture
def client(server: Any) -> Iterator[triton.InferenceServerClient]:
    made = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    yield made
    made.close()


def photo(seed: int = 3) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(1, 256, (1, 4, 6, 3), dtype=np.uint8)
    return blocks.repeat(16, axis=1).repeat(16, axis=2)


def question(pixels: np.ndarray, binary: bool) -> list[Any]:
    tensor = triton.InferInput("image", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    return [tensor]


def test_health_and_metadata(server: Any, client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("street")
    assert client.is_model_ready("street", server.digest)
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    facts = client.get_model_metadata("street")
    assert facts["versions"] == [server.digest]
    assert facts["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [1, -1, -1, 3]}]
    assert facts["outputs"] == [{"name": "labels", "datatype": "UINT8", "shape": [1, -1, -1]}]


@pytest.mark.parametrize("into", [True, False])
@pytest.mark.parametrize("out", [True, False, None])
def test_infer_in_json_and_in_binary_says_the_same(
    server: Any, client: triton.InferenceServerClient, into: bool, out: bool | None
) -> None:
    pixels = photo()
    wanted = None if out is None else [triton.InferRequestedOutput("labels", binary_data=out)]
    result = client.infer("street", question(pixels, into), outputs=wanted, request_id="42")
    labels = result.as_numpy("labels")
    said = result.get_response()
    assert said["id"] == "42"
    assert said["model_version"] == server.digest
    assert set(said["parameters"]) == {"margin", "max_probability", "entropy", "classes"}
    assert labels.shape == (1, 64, 96)
    reference = client.infer("street", question(pixels, True)).as_numpy("labels")
    assert (labels == reference).all()
    assert len(np.unique(labels)) > 1


def test_versions_can_be_named(server: Any, client: triton.InferenceServerClient) -> None:
    assert client.infer("street", question(photo(), True), model_version=server.digest)
    with pytest.raises(InferenceServerException, match="version"):
        client.infer("street", question(photo(), True), model_version="7")


def test_errors_name_what_is_wrong(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        client.infer("other", question(photo(), True))
    with pytest.raises(InferenceServerException, match="no output 'logits'"):
        client.infer("street", question(photo(), True), outputs=[triton.InferRequestedOutput("logits")])
    wrong = triton.InferInput("picture", [1, 64, 96, 3], "UINT8")
    wrong.set_data_from_numpy(photo())
    with pytest.raises(InferenceServerException, match="picture"):
        client.infer("street", [wrong])
    flat = triton.InferInput("image", [64, 96, 3], "UINT8")
    flat.set_data_from_numpy(photo()[0])
    with pytest.raises(InferenceServerException, match="shape"):
        client.infer("street", [flat])
    with pytest.raises(InferenceServerException, match="not finite"):
        client.infer("street", question(np.zeros((1, 32, 48, 3), np.uint8), True))


def test_status_codes_and_error_bodies(server: Any) -> None:
    url = server.url + "/v2/models/street/infer"
    cases: list[tuple[bytes, dict[str, str], int]] = [
        (b"{", {}, 400),
        (json.dumps({"inputs": []}).encode(), {}, 400),
        (b"{}", {"Inference-Header-Content-Length": "900"}, 400),
        (b"{}", {"Inference-Header-Content-Length": "many"}, 400),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (bytes(600_000), {}, 413),
    ]
    for body, headers, status in cases:
        response = httpx.post(url, content=body, headers=headers, timeout=10)
        assert response.status_code == status, (body[:40], response.text)
        assert response.json()["error"]
    assert httpx.get(server.url + "/v2/models/other", timeout=5).status_code == 404
    assert httpx.get(server.url + "/v2/models/street/versions/9/ready", timeout=5).status_code == 404


def test_the_image_route_and_the_protocol_see_the_same(
    server: Any, client: triton.InferenceServerClient, png: Callable[[np.ndarray], bytes]
) -> None:
    pixels = photo(5)
    said = client.infer("street", question(pixels, True)).get_response()["parameters"]
    response = httpx.post(server.url + "/v1/predict", content=png(pixels[0]), timeout=10)
    length = int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(response.content[:length])["scores"] == pytest.approx(said)
