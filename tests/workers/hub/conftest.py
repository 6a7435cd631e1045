"""Real hub processes and a real PostgreSQL for these tests; see `hub_fixtures` and `postgres_kit`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_fixtures import hub, models, new_hub, shared_hub
from postgres_kit import own_postgres, postgres

__all__ = ["hub", "models", "new_hub", "own_postgres", "postgres", "shared_hub"]
