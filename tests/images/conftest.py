"""Images built once, unpacked once, thrown away afterwards."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "tools" / "images")]

from image_kit import QEMU, Unpacked, absent, built, engine_or_absent  # noqa: E402


@pytest.fixture(scope="session")
def archives() -> dict[str, Path]:
    """All images for amd64."""
    engine_or_absent()
    if os.uname().machine != "x86_64":
        absent("an amd64 machine")
    return built("amd64")


@pytest.fixture(scope="session")
def unpacked(
    archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Unpacked]]:
    """`unpacked("edge")`, the same one each time."""
    folder = tmp_path_factory.mktemp("images")
    found: dict[str, Unpacked] = {}

    def unpack(role: str) -> Unpacked:
        if role not in found:
            found[role] = Unpacked.of(archives[role], folder / role)
        return found[role]

    yield unpack
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def arm_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unpacked]:
    """The edge image for arm64."""
    engine_or_absent()
    if not Path(QEMU).exists():
        absent("qemu-aarch64-static (apt-get install qemu-user-static)")
    folder = tmp_path_factory.mktemp("arm64")
    yield Unpacked.of(built("arm64", "edge")["edge"], folder / "edge")
    shutil.rmtree(folder, ignore_errors=True)
