"""Writes `yard_day_to_dusk.csv`: what the built-in edge model said of yard photos, what they weigh, what the cloud was
worth. Run by hand when the model changes: `python tests/workers/core/record_yard.py`.
"""

import csv
import io
from pathlib import Path

from PIL import Image

from umiak_workers.adapters.artefacts import load_model, read_artefact
from umiak_workers.adapters.modelstore import local_folder
from umiak_workers.core.metrics import confusion, mean_iou
from umiak_workers.core.scores import gate_scores
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter

STREAM = ("yard:day?seed=731&frames=500", "yard:dusk?seed=731&frames=500")
QUALITY = 90
FILE = Path(__file__).with_name("yard_day_to_dusk.csv")


def segmenter(role: str) -> OnnxSegmenter:
    """The built-in model of that role."""
    folder = local_folder(f"builtin:yard-{role}")
    assert folder is not None
    return OnnxSegmenter(load_model(folder, read_artefact(folder).digest), 1)


def record() -> None:
    """500 photos by day, then 500 at dusk, of one seed that no model was trained on."""
    edge, cloud = segmenter("edge"), segmenter("cloud")
    classes = len(edge.card.classes)
    with FILE.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["margin", "max_probability", "entropy", "bytes", "gain"])
        for uri in STREAM:
            samples = open_dataset(uri)
            for index in range(len(samples)):
                sample, photo = samples[index], io.BytesIO()
                Image.fromarray(sample.image).save(photo, "JPEG", quality=QUALITY)
                answer, better = edge.predict(sample.image), cloud.predict(sample.image)
                scores = gate_scores(answer.logits)
                ious = [mean_iou(confusion(sample.label, found.labels, classes)) for found in (answer, better)]
                figures = (scores.margin, scores.max_probability, scores.entropy)
                rows.writerow([*(f"{one:.5f}" for one in figures), len(photo.getvalue()), f"{ious[1] - ious[0]:.5f}"])


if __name__ == "__main__":
    record()
