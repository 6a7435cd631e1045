"""The images: what is in each, what it is called, how large it may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MEGABYTE: Final = 1_000_000
ARCHES: Final = ("amd64", "arm64")
PYTHON: Final = "3.11"
"""What Debian 12 and the default BASE have, and so what wheels are chosen for."""
USER: Final = 65532
"""As in `umiak_operators.plan.objects`; here without importing the product."""


@dataclass(frozen=True)
class Image:
    """One image."""

    title: str
    names: tuple[str, ...]
    """Repositories that it is known by."""
    most: int
    """Largest uncompressed size in bytes, all layers."""
    base: str
    """Which of BASES it stands on."""
    lock: str | None = None
    """File in requirements/images without `.txt`; None: no Python."""
    debian: tuple[str, ...] = ()
    """Debian packages on top of the base."""
    arches: tuple[str, ...] = ARCHES
    without: tuple[str, ...] = ()
    """What of the Python trees its processes never import, as patterns of paths."""


BASES: Final[Mapping[str, tuple[str, ...]]] = {
    "plain": ("base-files", "ca-certificates", "libc6", "libssl3", "openssl", "zlib1g"),
    "python": ("base-files", "ca-certificates", "libc6", "libssl3", "openssl", "zlib1g", "python3", "libstdc++6"),
}
"""Debian packages of the bases that are made here where there is no registry; wheels bring all else but libstdc++."""

IMAGES: Final[Mapping[str, Image]] = {
    "operator": Image(
        "Umiak operator",
        ("umiak/operator",),
        200 * MEGABYTE,
        "python",
        "operator",
        without=("kubernetes/aio", "numpy", "numpy.libs", "numpy-*", "umiak_workers/builtin/[fy]*-*"),
    ),
    "edge": Image(
        "Umiak edge: model server, router and agent",
        ("umiak/edge",),
        450 * MEGABYTE,
        "python",
        "edge",
        without=(
            "numpy/distutils",
            "numpy/f2py",
            "onnxruntime/quantization",
            "onnxruntime/tools",
            "onnxruntime/transformers",
            "umiak_workers/builtin/figure-keypoints-cloud",
            "umiak_workers/builtin/yard-detector-cloud",
            "umiak_workers/builtin/yard-watch-cloud",
        ),
    ),
    "cloud": Image(
        "Umiak cloud worker and trainer",
        ("umiak/cloud", "umiak/trainer"),
        1700 * MEGABYTE,
        "python",
        "cloud",
        arches=("amd64",),
        without=("setuptools*", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"),
    ),
    "hub": Image("Umiak hub and signer", ("umiak/hub", "umiak/signer"), 300 * MEGABYTE, "python", "hub"),
    "broker": Image("mosquitto for Umiak", ("umiak/broker",), 60 * MEGABYTE, "plain", debian=("mosquitto",)),
    "gateway": Image("nginx for Umiak", ("umiak/gateway",), 60 * MEGABYTE, "plain", debian=("nginx-light",)),
}
