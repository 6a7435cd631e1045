"""PyPI's PyTorch for amd64 is built for NVIDIA GPUs: 4 GB of it are of no use without one. This takes them away.

Found by measuring: `import torch, torchvision`, answers of the cloud worker and training steps are tests of the image.
"""

import shutil
from pathlib import Path
from typing import Final

import hollow

KEPT: Final = {
    "nvidia/cu13/lib/libcudart.so.13": "asked at start how many GPUs there are",
    "nvidia/cu13/lib/libcupti.so.13": "PyTorch's profiler registers with it at start",
    "nvidia/cu13/lib/libcufile.so.0": "small, linked by PyTorch's Python part",
    "nvidia/cudnn/lib/libcudnn.so.9": "small, linked by PyTorch's Python part; it opens its engines only for a GPU",
}
HOLLOWED: Final = (
    "nvidia/cu13/lib/libcublas.so.13",
    "nvidia/cu13/lib/libcublasLt.so.13",
    "nvidia/cu13/lib/libcufft.so.12",
    "nvidia/cu13/lib/libcusparse.so.12",
    "nvidia/cu13/lib/libnvrtc.so.13",
    "nvidia/cusparselt/lib/libcusparseLt.so.0",
    "nvidia/nccl/lib/libnccl.so.2",
    "nvidia/nvshmem/lib/libnvshmem_host.so.3",
)
"""libtorch_cuda.so names them as needed; their functions compute on a GPU."""
DROPPED: Final = {
    "triton": "compiles for GPUs",
    "triton-*": "",
    "cuda": "Python bindings to the driver",
    "cuda_*": "",
    "torch/lib/libtorch_cuda_linalg.so": "opened at the first linear algebra on a GPU; needs cuSOLVER",
    "torch/lib/libcaffe2_nvrtc.so": "opened at the first compilation on a GPU",
}
_GONE: Final = (
    "cublas",
    "cuda_cccl",
    "cuda_nvrtc",
    "cufft",
    "cusolver",
    "cusparse",
    "cusparselt",
    "nccl",
    "nvjitlink",
    "nvshmem",
    "nvtx",
)
"""Distributions of which nothing is left, named as after `nvidia_`."""


def strip(tree: Path) -> None:
    """Take away from an installed tree; whatever else of NVIDIA is not listed above goes too."""
    for path in sorted((tree / "nvidia").rglob("*")):
        name = str(path.relative_to(tree))
        if name in HOLLOWED:
            hollow.write(hollow.exports(path), path)
        elif name not in KEPT and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    gone = [f"nvidia_{name}{suffix}" for name in _GONE for suffix in ("-*", "_cu[0-9]*-*")]
    for pattern in (*DROPPED, *gone):
        for path in tree.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
