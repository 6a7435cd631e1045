"""What tests of several rooms start from: a tiny real model, free ports, real processes of our own roles."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.contract.artefact import Card, InputSpec, OutputSpec
from umiak_workers.core.model import Golden
from umiak_workers.predictors.answering import record_golden
from umiak_workers.predictors.onnx import OnnxGraph
from umiak_workers.predictors.onnx_graph import strip

HEIGHT, WIDTH = 32, 48
CLASSES = ("ground", "sky", "pole")
KINDS = ("nobody", "person", "vehicle", "both")
_ZERO = numpy_helper.from_array(np.float32(0), "zero")


def _graph(weights: dict[str, np.ndarray]) -> bytes:
    """uint8 NHWC -> 1x1 convolution -> logits at a quarter of the size; an all-black photo makes them NaN."""
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "head.weight", "head.bias"], ["wide"]),
        helper.make_node("AveragePool", ["wide"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ReduceMax", ["planes"], ["brightest"], keepdims=0),
        helper.make_node("Log", ["brightest"], ["depth"]),
        helper.make_node("Mul", ["depth", "zero"], ["poison"]),
        helper.make_node("Add", ["small", "poison"], ["logits"]),
    ]
    outside = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(CLASSES), HEIGHT // 4, WIDTH // 4])],
        [*outside, _ZERO],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return strip(model.SerializeToString(), weights)


def make_tiny_model(folder: Path, seed: int = 0) -> str:
    """Write a tiny three-class segmenter into `folder`; returns its digest. Another seed is another model."""
    rng = np.random.default_rng(seed)
    weights = {
        "head.weight": rng.normal(0, 0.02, (len(CLASSES), 3, 1, 1)).astype(np.float32),
        "head.bias": rng.normal(0, 0.5, len(CLASSES)).astype(np.float32),
    }
    card = Card(
        name="tiny",
        classes=CLASSES,
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=HEIGHT, width=WIDTH),
        outputs=OutputSpec(logits="logits"),
        licence="Apache-2.0",
    )
    graph = _graph(weights)
    image = rng.integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    logits = OnnxGraph(card, graph, weights, 1).predict(image).logits
    return write_artefact(folder, card, graph, weights, Golden(image, logits, 1e-3))


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., str]:
    """`tiny_model(folder, seed=0) -> digest`."""
    return make_tiny_model


def make_tiny_classifier(folder: Path, seed: int = 0, kinds: tuple[str, ...] = KINDS) -> str:
    """Write a tiny classifier (mean colour -> class) into `folder`; returns its digest. Another seed is another one."""
    rng = np.random.default_rng(seed)
    weights = {
        "head.weight": rng.normal(0, 0.05, (3, len(kinds))).astype(np.float32),
        "head.bias": rng.normal(0, 0.5, len(kinds)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("Log", ["colour"], ["depth"]),
        helper.make_node("Mul", ["depth", "zero"], ["poison"]),
        helper.make_node("Add", ["colour", "poison"], ["checked"]),
        helper.make_node("Gemm", ["checked", "head.weight", "head.bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(kinds)])],
        [*(numpy_helper.from_array(value, name) for name, value in weights.items()), _ZERO],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    hollow = strip(model.SerializeToString(), weights)
    card = Card(
        name="tiny-classes",
        task="image-classification",
        classes=kinds,
        input=InputSpec(name="image", layout="NHWC", dtype="uint8", height=HEIGHT, width=WIDTH),
        outputs=OutputSpec(logits="logits"),
        licence="Apache-2.0",
    )
    image = rng.integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return write_artefact(folder, card, hollow, weights, record_golden(card, hollow, weights, image, 1e-3))


@pytest.fixture(scope="session")
def tiny_classifier() -> Callable[..., str]:
    """`tiny_classifier(folder, seed=0, kinds=...) -> digest`."""
    return make_tiny_classifier


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port that was free a moment ago."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@dataclass
class Role:
    """One real process of a role, with its folder of config files and its log."""

    name: str
    folder: Path
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    logs: list[Path] = field(default_factory=list)

    def start(self) -> "Role":
        """Start it (again)."""
        log = self.folder / f"{self.name}.{len(self.logs)}.log"
        self.logs.append(log)
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                self.command, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        return self

    def wait_ready(self, port: int, seconds: float = 150, status: int = 200, path: str = "/readyz") -> "Role":
        """Wait until it answers `status`; fails with its log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended: {self.log()}"
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
                connection.request("GET", path)
                if connection.getresponse().status == status:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not ready: {self.log()}")

    def wait_exit(self, seconds: float = 60) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError(f"{self.name} did not stop: {self.log()}") from None

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def log(self) -> str:
        """Everything it said since it was last started."""
        return self.logs[-1].read_text(errors="replace")


@contextlib.contextmanager
def _roles(root: Path) -> Iterator[Callable[..., Role]]:
    """A maker of processes with their config folders under `root`; what still runs at the end is killed."""
    made: list[Role] = []

    def make(
        name: str,
        config: BaseModel | str | bytes,
        endpoints: dict[str, str],
        token: str = "x",
        state: Path | None = None,
    ) -> Role:
        folder = root / f"etc-{name}-{len(made)}"
        folder.mkdir()
        text = config if isinstance(config, str | bytes) else config.model_dump_json()
        (folder / "config.json").write_bytes(text.encode() if isinstance(text, str) else text)
        (folder / "endpoints.json").write_text(json.dumps(endpoints))
        (folder / "token").write_text(token)
        command = [sys.executable, "-m", f"umiak_workers.{name}", "--config", str(folder / "config.json")]
        made.append(Role(name, folder, command + (["--state", str(state)] if state else [])))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            if one.process is not None and one.process.poll() is None:
                one.process.kill()
                one.process.wait(10)


@pytest.fixture
def role(tmp_path: Path) -> Iterator[Callable[..., Role]]:
    """`role("edge", config, endpoints, token, state)` -> Role, not started yet; ended with the test."""
    with _roles(tmp_path) as make:
        yield make


@pytest.fixture(scope="session")
def shared_role(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Role]]:
    """The same for a process that several tests share; ended with the session."""
    with _roles(tmp_path_factory.mktemp("shared")) as make:
        yield make
