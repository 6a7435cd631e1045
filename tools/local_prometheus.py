#!/usr/bin/env python3
"""Write a Prometheus config that scrapes a world of `umiak up`: `tools/local_prometheus.py STATE > prometheus.yml`.

In a cluster the labels `namespace` and `resource` of a worker come from its pod; here they come from the world's
`status.json`. `honor_labels` leaves the hub's own `namespace` and `resource` alone, which name what it speaks of.
"""

import argparse
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from umiak_workers.contract.world import STATUS_FILE, PodStatus, World


def config(world: World, operator: str | None, seconds: float) -> dict[str, Any]:
    """What a Prometheus needs to know. `operator`: host:port of `umiak up --metrics-port`; `seconds`: of a scrape."""
    targets = [one for pod in world.pods for one in pod_targets(pod)]
    if operator:
        targets.append({"targets": [operator], "labels": {"component": "operator"}})
    return {
        "global": {"scrape_interval": f"{round(seconds * 1000)}ms"},
        "scrape_configs": [{"job_name": "umiak", "honor_labels": True, "static_configs": targets}],
    }


def pod_targets(pod: PodStatus) -> list[dict[str, Any]]:
    """Every listener of one pod, with the labels that a cluster would give it."""
    labels = {"component": pod.component}
    if pod.owner:
        _, labels["namespace"], labels["resource"] = pod.owner.split("/")
    if pod.edge:
        labels["edge"] = pod.edge
    found = [(box.name, urlsplit(box.address)) for box in pod.containers if box.address]
    return [
        {"targets": [address.netloc], "labels": {**labels, "container": name}}
        for name, address in found
        if address.scheme == "http"
    ]


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path, help="state folder of a running `umiak up`")
    parser.add_argument("--operator", metavar="HOST:PORT", help="where `umiak up --metrics-port` listens")
    parser.add_argument("--seconds", type=float, default=2.0, help="between two scrapes (default: 2)")
    given = parser.parse_args()
    file: Path = given.state / STATUS_FILE
    if not file.exists():
        sys.exit(f"{file} is not there: is this the state folder of a running `umiak up`?")
    world = World.model_validate_json(file.read_bytes())
    yaml.safe_dump(config(world, given.operator, given.seconds), sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
