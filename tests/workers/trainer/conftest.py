"""Material of a small round: the built-in edge model, dusk photos that the built-in labeller answered, a hub twin."""

import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from umiak_workers.adapters.artefacts import builtin_folder, load_model, read_artefact
from umiak_workers.contract.config import FitConfig, Promotion, TrainerConfig
from umiak_workers.contract.errors import Refused
from umiak_workers.contract.messages import SampleInfo, SampleList
from umiak_workers.core.mask_png import encode_mask
from umiak_workers.datasets.sample import Sample
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter


@dataclass
class HubTwin:
    """Models by digest and one replay store; keeps what was pushed."""

    root: Path
    models: dict[str, Path] = field(default_factory=dict)
    samples: dict[int, tuple[SampleInfo, bytes, bytes]] = field(default_factory=dict)
    watermark_asked: int = 0

    def hold(self, folder: Path) -> str:
        digest = read_artefact(folder).digest
        self.models[digest] = folder
        return digest

    def keep(self, frame: str, captured_at: float, image: np.ndarray, label: np.ndarray) -> int:
        """Store one sample as the cloud would: the photo as PNG and its own answer."""
        position = len(self.samples) + 1
        photo, mask = _png(image), encode_mask(label)
        info = SampleInfo(
            position=position,
            frame=frame,
            digest="sha256:" + "0" * 64,
            media="image/png",
            captured_at=captured_at,
            confidence=0.9,
            bytes=len(photo) + len(mask),
        )
        self.samples[position] = (info, photo, mask)
        return position

    def every_sample(self, namespace: str, resource: str, until: int) -> SampleList:
        assert (namespace, resource) == ("plant", "watch")
        self.watermark_asked = until
        chosen = tuple(info for position, (info, _, _) in self.samples.items() if position <= until)
        return SampleList(samples=chosen, watermark=len(self.samples))

    def sample_bytes(self, namespace: str, resource: str, position: int, part: str) -> bytes:
        _, photo, mask = self.samples[position]
        if not photo:
            raise Refused("evicted", 404)
        return photo if part == "image" else mask

    def fetch_model(self, digest: str, into: Path, max_bytes: int) -> Path:
        if digest not in self.models:
            raise Refused(f"the hub has no model {digest}", 404)
        return Path(shutil.copytree(self.models[digest], into))

    def push_model(self, folder: Path) -> str:
        digest = read_artefact(folder).digest
        self.models[digest] = Path(shutil.copytree(folder, self.root / digest[7:19], dirs_exist_ok=True))
        return digest


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.fixture(scope="session")
def edge_model() -> Any:
    return load_model(builtin_folder("yard-edge"))


@pytest.fixture(scope="session")
def dusk() -> list[Sample]:
    """Photos of dusk yards with the labeller's answers; where it is unsure it has no opinion (255)."""
    labeller = OnnxSegmenter(load_model(builtin_folder("yard-cloud")), threads=1)
    data = open_dataset("yard:dusk?seed=501&frames=28&shot=1")
    return [_answered(labeller, data[index]) for index in range(len(data))]


def _answered(labeller: OnnxSegmenter, sample: Sample) -> Sample:
    found = labeller.predict(sample.image)
    return Sample(sample.image, found.labels, sample.name)


@pytest.fixture
def hub(tmp_path: Path, dusk: list[Sample]) -> HubTwin:
    """The base model and 28 samples of two edges."""
    twin = HubTwin(tmp_path)
    twin.hold(builtin_folder("yard-edge"))
    for number, sample in enumerate(dusk):
        twin.keep(f"edge-{number % 2}/http/{number}", 1000.0 + number, sample.image, sample.label)
    return twin


@pytest.fixture
def config(edge_model: Any) -> TrainerConfig:
    """A round of a few seconds."""
    return TrainerConfig(
        namespace="plant",
        resource="learn",
        joint_inference="watch",
        round="learn-round-1",
        line="plant/yard-edge",
        base=edge_model.digest,
        watermark=28,
        base_data="yard:day?seed=101&frames=24&shot=1",
        fit=FitConfig(epochs=5, batch=6, learning_rate=3e-3, threads=1),
        promotion=Promotion(max_forgetting=0.2),  # 24 base photos and 35 steps keep less than a real round does
        seed=5,
    )
