"""Writes `yard_day_to_dusk.csv`: what the built-in edge model said of yard photos, what they weigh, what the cloud was
worth, and what a router sends of them in part (tiles at least as hard as HARD are sharp).

Run by hand when the model changes: `python tests/workers/core/record_yard.py`.
"""

import csv
import io
from pathlib import Path

from PIL import Image

from umiak_workers.adapters.artefacts import load_model, read_artefact
from umiak_workers.adapters.modelstore import local_folder
from umiak_workers.contract.config import EdgeConfig, Regions, Tiling
from umiak_workers.contract.messages import ExampleHeader, ModelRef
from umiak_workers.core.metrics import confusion, mean_iou
from umiak_workers.core.scores import gate_scores
from umiak_workers.datasets.source import open_dataset
from umiak_workers.edge.answer import predict
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.router.foveate import in_part
from umiak_workers.router.frames import Parcel

STREAM = ("yard:day?seed=731&frames=500", "yard:dusk?seed=731&frames=500")
QUALITY = 90
HARD = 0.4
LINE = "yard/edge"
FILE = Path(__file__).with_name("yard_day_to_dusk.csv")


def segmenter(role: str) -> OnnxSegmenter:
    """The built-in model of that role."""
    folder = local_folder(f"builtin:yard-{role}")
    assert folder is not None
    return OnnxSegmenter(load_model(folder, read_artefact(folder).digest), 1)


def part_of(edge: OnnxSegmenter, photo: bytes) -> int:
    """Bytes of what goes up first where regions are asked for."""
    seen, _ = predict(edge, photo, EdgeConfig(line=LINE, regions=Tiling()))
    header = ExampleHeader(
        frame="yard/stream/0",
        digest=edge.digest,
        size=len(photo),
        media="image/jpeg",
        captured_at=0.0,
        model=ModelRef(line=LINE, digest=edge.digest),
    )
    return len(in_part(Parcel(header, photo), seen, Regions(threshold=HARD)).photo)


def record() -> None:
    """500 photos by day, then 500 at dusk, of one seed that no model was trained on."""
    edge, cloud = segmenter("edge"), segmenter("cloud")
    classes = len(edge.card.classes)
    with FILE.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["margin", "max_probability", "entropy", "bytes", "gain", "part"])
        for uri in STREAM:
            samples = open_dataset(uri)
            for index in range(len(samples)):
                sample, photo = samples[index], io.BytesIO()
                Image.fromarray(sample.image).save(photo, "JPEG", quality=QUALITY)
                answer, better = edge.predict(sample.image), cloud.predict(sample.image)
                scores = gate_scores(answer.logits)
                ious = [mean_iou(confusion(sample.label, found.labels, classes)) for found in (answer, better)]
                figures = (scores.margin, scores.max_probability, scores.entropy)
                sizes = (len(photo.getvalue()), part_of(edge, photo.getvalue()))
                told = (f"{one:.5f}" for one in figures)
                rows.writerow([*told, sizes[0], f"{ious[1] - ious[0]:.5f}", sizes[1]])


if __name__ == "__main__":
    record()
