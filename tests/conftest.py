"""For every test: no time limit for generated examples; long files first, so that none is left for one worker."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no finding.
settings.register_profile("umiak", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("umiak")

_HERE = Path(__file__).parent
_LONG = ("images", "local", "apiserver")
"""Folders whose files take minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of these folders come first; the order is otherwise as it was."""
    items.sort(key=lambda item: item.path.relative_to(_HERE).parts[0] not in _LONG)
