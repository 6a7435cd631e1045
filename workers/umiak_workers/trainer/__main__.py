"""`python3 -m umiak_workers.trainer --config FILE`: one round, one report, exit.

Exit 0 once the hub has the report (promoted, refused or failed for good), not 0 when the round should be tried again.
"""

import signal
import sys
import tempfile
import time
from pathlib import Path

from umiak_workers.adapters.configfile import load
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.adapters.process import Arguments, arguments, configure_logs, exit_code
from umiak_workers.contract.config import TrainerConfig
from umiak_workers.contract.endpoints import HUB
from umiak_workers.trainer.patient import PatientHub
from umiak_workers.trainer.round import run_round

ROLE = "trainer"
HUB_SECONDS = 30.0
PATIENCE_SECONDS = 120.0
STOPPED = 143


def main() -> None:
    """Run one round."""
    given = arguments(ROLE)
    configure_logs(ROLE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(STOPPED))
    sys.exit(exit_code(ROLE, lambda: _run(given)))


def _run(given: Arguments) -> None:
    loaded = load(TrainerConfig, given.config, given.state, ROLE)
    config = loaded.config
    with HubClient(loaded.endpoints.resolve(HUB), loaded.token, HUB_SECONDS, loaded.trust) as client:
        hub = PatientHub(client, PATIENCE_SECONDS)
        with tempfile.TemporaryDirectory(prefix="umiak-trainer-", dir=given.state) as work:
            report = run_round(hub, config, Path(work), time.time)
        hub.put_round(config.namespace, config.resource, report)


if __name__ == "__main__":
    main()
