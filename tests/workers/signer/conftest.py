"""Real hub processes for these tests; see `hub_fixtures`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_fixtures import hub, models, new_hub, shared_hub

__all__ = ["hub", "models", "new_hub", "shared_hub"]
