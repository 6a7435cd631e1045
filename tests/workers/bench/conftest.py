"""Real programs that the bench is tested with."""

import os
import sys
from pathlib import Path

import pytest

from umiak_workers.bench.joint.toxiproxy import find

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools" / "kube"))

import provision


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who asks for the program runs once it is built."""
    for item in items:
        if "toxiproxy" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.toxiproxy)


@pytest.fixture(scope="session")
def toxiproxy() -> Path:
    """The program. Where it is lacking: a named skip, a failure where `make test` builds it (CI as root on Linux)."""
    found = find(None) or provision.program("toxiproxy")
    if found is None:
        what = "toxiproxy-server (tools/kube/provision.py cluster)"
        if os.environ.get("CI") and sys.platform == "linux" and os.geteuid() == 0:
            pytest.fail(f"missing {what}")
        pytest.skip(f"needs {what}")
    return found
