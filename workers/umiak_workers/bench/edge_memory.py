"""A process that only answers photos, to see how much memory that takes: `python -m ... onnx|torch THREADS FOLDER...`.

The figure is the kernel's own high-water mark of this process (Linux); elsewhere nothing is printed.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from umiak_workers.adapters.artefacts import load_model
from umiak_workers.core.model import Model
from umiak_workers.predictors.segmentation import Image, SegmentationOutput

FRAMES = 20
STATUS = Path("/proc/self/status")


def answer(way: str, folders: Sequence[Path], threads: int) -> None:
    """Load the models, all of them at once, and answer each one's golden photo a few times."""
    models = [load_model(folder) for folder in folders]
    ready = [(model.golden.image, _predictor(way, model, threads)) for model in models]
    for _ in range(FRAMES):
        for image, predict in ready:
            predict(image)


def _predictor(way: str, model: Model, threads: int) -> Callable[[Image], SegmentationOutput]:
    if way == "torch":
        import torch  # what the other way must not load

        from umiak_workers.predictors.torch_segmenter import TorchSegmenter

        torch.set_num_threads(threads)
        return TorchSegmenter(model, "cpu").predict
    from umiak_workers.predictors.onnx import OnnxSegmenter

    return OnnxSegmenter(model, threads).predict


def high_water(status: str) -> float | None:
    """Megabytes of VmHWM in a /proc/PID/status."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024 / 1e6
    return None


if __name__ == "__main__":
    answer(sys.argv[1], [Path(folder) for folder in sys.argv[3:]], int(sys.argv[2]))
    found = high_water(STATUS.read_text()) if STATUS.exists() else None
    print("" if found is None else f"{found:.1f}")
