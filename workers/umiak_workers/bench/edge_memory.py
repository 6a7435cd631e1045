"""A process that only answers photos, to see how much memory that takes: `python -m ... onnx|torch FOLDER THREADS`.

The figure is the kernel's own high-water mark of this process (Linux); elsewhere nothing is printed.
"""

import sys
from pathlib import Path

from umiak_workers.adapters.artefacts import load_model

FRAMES = 20
STATUS = Path("/proc/self/status")


def answer(way: str, folder: Path, threads: int) -> None:
    """Load the model and answer its golden photo a few times."""
    model = load_model(folder)
    if way == "torch":
        import torch  # what the other way must not load

        from umiak_workers.predictors.torch_segmenter import TorchSegmenter

        torch.set_num_threads(threads)
        predict = TorchSegmenter(model, "cpu").predict
    else:
        from umiak_workers.predictors.onnx import OnnxSegmenter

        predict = OnnxSegmenter(model, threads).predict
    for _ in range(FRAMES):
        predict(model.golden.image)


def high_water(status: str) -> float | None:
    """Megabytes of VmHWM in a /proc/PID/status."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024 / 1e6
    return None


if __name__ == "__main__":
    answer(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    found = high_water(STATUS.read_text()) if STATUS.exists() else None
    print("" if found is None else f"{found:.1f}")
