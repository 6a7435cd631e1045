#!/usr/bin/env python3
"""Print what the tests on the real cluster measured (build/cluster/figures.json), with the aims beside it.

tools/cluster/figures.py        one line a figure; nothing where those tests did not run
"""

import json
import sys
from pathlib import Path

FIGURES = Path(__file__).resolve().parents[2] / "build" / "cluster" / "figures.json"
IMAGES = FIGURES.parents[1] / "images"
AIMS = {
    "helm_install_seconds": "aim 60",
    "kubelet_apply_to_first_answer_seconds": "aim 20",
    "kubeedge_apply_to_first_answer_seconds": "aim 20",
    "kubelet_edge_pod_resident_mebibytes": "aim 350",
    "kubeedge_edge_pod_resident_mebibytes": "aim 350",
    "offline_model_server_restart_to_answer_seconds": "aim 5",
    "offline_photos_lost": "aim 0",
}
MEGABYTE = 1_000_000


def main() -> int:
    """Print the table."""
    if not FIGURES.exists():
        return 0
    rows = [
        (name.replace("_", " "), shown(value), AIMS.get(name, ""))
        for name, value in json.loads(FIGURES.read_text()).items()
    ]
    rows += [
        (f"image {file.stem} megabytes", f"{file.stat().st_size / MEGABYTE:.0f}", "")
        for file in sorted(IMAGES.glob("*.tar"))
    ]
    width = max(len(name) for name, _, _ in rows)
    print(
        "\nReal cluster (kubelet and KubeEdge in network namespaces of one machine, shared with everything else of it):"
    )
    for name, value, aim in rows:
        print(f"  {name:<{width}}  {value:>10}  {aim}".rstrip())
    return 0


def shown(value: float | str) -> str:
    """A figure with as many digits as mean something."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


if __name__ == "__main__":
    sys.exit(main())
