"""The edge image's model server with the built-in model of the yard, and one photo for it."""

import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from image_kit import USER, Unpacked
from numpy.typing import NDArray
from PIL import Image

from umiak_workers.adapters.artefacts import builtin_folder, read_artefact
from umiak_workers.adapters.slots import Slots
from umiak_workers.contract import routes, wire
from umiak_workers.contract.config import EdgeConfig
from umiak_workers.contract.endpoints import listen
from umiak_workers.contract.messages import PredictionHeader
from umiak_workers.core.mask_png import decode_mask
from umiak_workers.datasets.source import open_dataset

CONFIG, STATE = "/etc/umiak", "/var/lib/umiak"
FILM = """
import av, io, numpy
film = io.BytesIO()
with av.open(film, "w", format="mp4") as container:
    stream = container.add_stream("mpeg4", rate=5)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(5):
        pixels = numpy.full((48, 64, 3), 40 * number, numpy.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    container.mux(stream.encode())
open("/tmp/film.mp4", "wb").write(film.getvalue())
from pathlib import Path
from umiak_workers.adapters import camera
print(len([one.jpeg() for one in camera.pictures(camera.file(Path("/tmp/film.mp4")), print)]))
print({"rtsp", "video4linux2,v4l2"} <= av.formats_available)
"""
"""What it prints in a container: how many frames of a video it could read, and whether it knows streams and cameras."""


@dataclass(frozen=True)
class Seen:
    """What a server said of a photo."""

    header: PredictionHeader
    mask: NDArray[np.uint8]


def photo() -> bytes:
    """A yard by day as JPEG."""
    file = io.BytesIO()
    Image.fromarray(open_dataset("yard:day?seed=77&frames=1&shot=1")[0].image).save(file, "JPEG", quality=92)
    return file.getvalue()


@contextmanager
def serving(image: Unpacked, folder: Path, port: int, seconds: float) -> Iterator[str]:
    """The URL of a running model server that is ready; its folders belong to the container's user."""
    config, state = folder / "config", folder / "state"
    config.mkdir(parents=True)
    shutil.copytree(builtin_folder("yard-edge"), state / "slots" / "a")
    digest = read_artefact(state / "slots" / "a").digest
    Slots(state).write_current("a", digest)
    Slots(state).mark_good(digest)
    (config / "config.json").write_text(EdgeConfig(line="plant/yard").model_dump_json())
    (config / "endpoints.json").write_text(json.dumps({listen("edge"): f"http://127.0.0.1:{port}"}))
    (config / "token").write_text("none")
    for path in (state, *state.rglob("*")):
        shutil.chown(path, USER, USER)
    line = ("/usr/bin/python3", "-m", "umiak_workers.edge", "--config", f"{CONFIG}/config.json", "--state", STATE)
    box = image.box(folder / "box", *line, mounts={CONFIG: config, STATE: state})
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(box.command(), stdout=log, stderr=log)
    try:
        _wait(process, f"http://127.0.0.1:{port}", seconds, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        box.kill()
        process.wait(30)


def ask(url: str, picture: bytes, seconds: float) -> Seen:
    """The class of every pixel."""
    headers = {"content-type": "image/jpeg"}
    answer = httpx.post(url + routes.PREDICT, content=picture, headers=headers, timeout=seconds, trust_env=False)
    assert answer.status_code == 200, answer.text
    header, mask = wire.unpack(PredictionHeader, answer.headers.get(wire.HEADER_LENGTH), answer.content)
    return Seen(header, decode_mask(mask))


def _wait(process: "subprocess.Popen[Any]", url: str, seconds: float, log: Path) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url + routes.HEALTH_READY, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not ready after {seconds:.0f} s: {log.read_text()}")
