"""For every test: which tests run one after the other, and no time limit for generated examples."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no finding.
settings.register_profile("umiak", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("umiak")

SHARED = ("apiserver", "browser", "cluster", "images", "local")
"""Folders whose files stay on one worker of pytest-xdist: they share a control plane, or run worlds with deadlines."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share its fixtures, so they stay on one worker."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in SHARED else item.path.name))
