"""The image route of a real edge server: what it answers, what it refuses, and that it lives on."""

import asyncio
import io
import re
import threading
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from umiak_workers.contract import wire
from umiak_workers.contract.errors import Unavailable
from umiak_workers.contract.messages import PredictionHeader
from umiak_workers.core.mask_png import decode_mask
from umiak_workers.edge.pool import Pool
from umiak_workers.probe import ready

pytestmark = pytest.mark.processes


def ask(server: Any, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(server.url + "/v1/predict", content=body, headers=headers, timeout=20)


def answer(response: httpx.Response) -> tuple[PredictionHeader, np.ndarray]:
    assert response.status_code == 200, response.text
    header, rest = wire.unpack(PredictionHeader, response.headers[wire.HEADER_LENGTH], response.content)
    return header, decode_mask(wire.split(rest, (header.mask_size,))[0])


def answered(server: Any) -> float:
    found = re.search(r'umiak_edge_answers_total{route="image"} (\S+)', httpx.get(server.url + "/metrics").text)
    return float(found[1]) if found else 0.0


def test_a_photo_is_answered_with_mask_scores_and_digest(server: Any, jpeg: Callable[..., bytes]) -> None:
    header, mask = answer(ask(server, jpeg(96, 64), **{"content-type": "image/jpeg"}))
    assert (header.width, header.height, header.model, header.line) == (96, 64, server.digest, "yard/street")
    assert mask.shape == (64, 96)
    assert mask.max() < 3
    assert 0 <= header.scores.margin <= header.scores.max_probability <= 1
    assert header.inference_milliseconds > 0


def test_the_mask_depends_on_the_photo(server: Any, png: Callable[[np.ndarray], bytes]) -> None:
    bright, dark = np.full((64, 96, 3), 255, np.uint8), np.full((64, 96, 3), 1, np.uint8)
    assert answer(ask(server, png(bright)))[0].scores != answer(ask(server, png(dark)))[0].scores


def test_exif_orientation_turns_the_photo(server: Any, jpeg: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    header, mask = answer(ask(server, jpeg(96, 64, exif=exif.tobytes())))
    assert (header.width, header.height) == (64, 96)
    assert mask.shape == (96, 64)


def sixteen_bit() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("case", "status", "says"),
    [
        ("truncated", 400, "cannot be decoded"),
        ("empty", 400, "empty"),
        ("text", 400, "not a JPEG or PNG"),
        ("gif", 400, "not a JPEG or PNG"),
        ("sixteen", 400, "8 bits"),
        ("large", 413, "200000"),
        ("pixels", 400, "400x300"),
        ("kind", 415, "text/plain"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_and_the_worker_lives(
    server: Any, jpeg: Callable[..., bytes], png: Callable[[np.ndarray], bytes], case: str, status: int, says: str
) -> None:
    bodies = {
        "truncated": jpeg()[:-600],
        "empty": b"",
        "text": b"hello, I am no photo",
        "gif": b"GIF89a" + bytes(100),
        "sixteen": sixteen_bit(),
        "large": jpeg() + bytes(200_000),
        "pixels": png(np.zeros((300, 400, 3), np.uint8)),
        "kind": jpeg(),
    }
    response = ask(server, bodies[case], **({"content-type": "text/plain"} if case == "kind" else {}))
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert says in error
    assert "\n" not in error
    assert ask(server, jpeg()).status_code == 200


def test_nan_is_an_error_with_a_reason_never_a_mask(
    server: Any, jpeg: Callable[..., bytes], png: Callable[[np.ndarray], bytes]
) -> None:
    response = ask(server, png(np.zeros((32, 48, 3), np.uint8)))
    assert response.status_code == 500
    assert "not finite" in response.json()["error"]
    assert ask(server, jpeg()).status_code == 200


def test_too_many_at_once_get_503_and_the_others_their_answers(server: Any, png: Callable[[np.ndarray], bytes]) -> None:
    photo = png(np.random.default_rng(1).integers(1, 256, (180, 300, 3), dtype=np.uint8))
    seen: list[httpx.Response] = []

    def one() -> None:
        with httpx.Client(timeout=60) as client:
            seen.extend(client.post(server.url + "/v1/predict", content=photo) for _ in range(3))

    threads = [threading.Thread(target=one) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = {response.status_code for response in seen}
    assert len(seen) == 180
    assert codes == {200, 503}
    busy = [response for response in seen if response.status_code == 503]
    assert all("Retry-After" in response.headers for response in busy)
    assert ask(server, photo).status_code == 200


def test_health_metrics_and_unknown_routes(server: Any, jpeg: Callable[..., bytes]) -> None:
    before = answered(server)
    ask(server, jpeg())
    assert answered(server) == before + 1
    assert httpx.get(server.url + "/healthz", timeout=5).status_code == 200
    assert server.ready() == {"ready": True, "active": server.digest, "reason": ""}
    response = httpx.get(server.url + "/v1/nothing", timeout=5)
    assert response.status_code == 404
    assert "/v1/nothing" in response.json()["error"]


def test_the_probe_says_what_readyz_says(server: Any) -> None:
    config = server.role.folder / "config.json"
    assert ready(config, 5) == ""
    assert "No such file" in ready(config.with_name("other") / "config.json", 5)


def test_the_probe_of_an_absent_worker_says_so(new_server: Callable[..., Any]) -> None:
    assert "refused" in ready(new_server().role.folder / "config.json", 5)


async def test_a_pool_takes_as_many_as_it_says_and_not_one_more() -> None:
    pool, gate = Pool(workers=2, most_waiting=3), threading.Event()
    taken = [asyncio.ensure_future(pool.run(gate.wait)) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="5 requests"):
        await pool.run(gate.wait)
    gate.set()
    assert await asyncio.gather(*taken) == [True] * 5
    assert pool.pending == 0
    assert await pool.run(lambda: 7) == 7
    pool.close()
