"""The edge image for arm64 answers as the one for amd64; its processor is emulated, which says nothing of speed."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import edge_kit
import numpy as np
import pytest
from image_kit import Unpacked

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]
MOST_DIFFERENT = 0.002
"""Share of pixels: sums are rounded in another order."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_both_architectures_see_the_same_in_a_photo(
    unpacked: Callable[[str], Unpacked], arm_edge: Unpacked, tmp_path: Path
) -> None:
    photo = edge_kit.photo()
    seen, seconds = {}, {}
    for image, patience in ((unpacked("edge"), 60), (arm_edge, 120)):
        begun = time.monotonic()
        with edge_kit.serving(image, tmp_path / image.arch, _free_port(), patience) as url:
            ready = time.monotonic()
            seen[image.arch] = edge_kit.ask(url, photo, patience)
            seconds[image.arch] = (ready - begun, time.monotonic() - ready)
    for arch, (start, answer) in seconds.items():
        print(f"{arch}: ready after {start:.1f} s, answered in {answer:.2f} s")
    amd, arm = seen["amd64"], seen["arm64"]
    assert (amd.header.model, amd.header.width, amd.header.height) == (
        arm.header.model,
        arm.header.width,
        arm.header.height,
    )
    assert len(np.unique(amd.mask)) > 3
    different = float(np.mean(amd.mask != arm.mask))
    print(f"{different:.5%} of the pixels differ")
    assert different <= MOST_DIFFERENT
    assert amd.header.scores.margin == pytest.approx(arm.header.scores.margin, abs=0.01)


def test_an_arm64_image_holds_arm64_programs_alone(arm_edge: Unpacked) -> None:
    assert arm_edge.config["architecture"] == "arm64"
    for path in arm_edge.files():
        with path.open("rb") as content:
            head = content.read(20)
        if head.startswith(b"\x7fELF"):
            assert int.from_bytes(head[18:20], "little") == 183, path
    assert {
        part["purl"].split("arch=")[1][:5] for part in arm_edge.bill()["components"] if "arch=" in part["purl"]
    } == {"arm64"}


def test_the_arm64_image_reads_videos(arm_edge: Unpacked, tmp_path: Path) -> None:
    assert arm_edge.run(tmp_path / "box", "/usr/bin/python3", "-c", edge_kit.FILM) == "5\nTrue\n"
