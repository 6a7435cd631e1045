"""`python3 -m umiak_workers.agent --config FILE --state DIR`: reads its config, wires the loop, runs until stopped.

It is written to be killed anywhere, so a stop signal simply ends it where it is.
"""

import signal
import sys
import threading
import time

import numpy as np
import structlog

from umiak_workers.adapters.configfile import Loaded, load
from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.adapters.mqtt import MqttLink
from umiak_workers.adapters.process import Arguments, arguments, configure_logs, exit_code
from umiak_workers.agent.edge_client import EdgeClient
from umiak_workers.agent.loop import Agent
from umiak_workers.contract import topics
from umiak_workers.contract.config import AgentConfig
from umiak_workers.contract.endpoints import BROKER, HUB, edge_server
from umiak_workers.contract.identity import claimed

HUB_SECONDS = 10.0
RELOAD_SECONDS = 60.0
KEEPALIVE_SECONDS = 30
ROLE = "agent"
log = structlog.get_logger()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    given = arguments(ROLE)
    configure_logs(ROLE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    sys.exit(exit_code(ROLE, lambda: _run(given)))


def _run(given: Arguments) -> None:
    state = given.state_folder()
    loaded = load(AgentConfig, given.config, state, ROLE)
    wake = threading.Event()
    hub = HubClient(loaded.endpoints.resolve(HUB), loaded.token, HUB_SECONDS, loaded.trust)
    edge = EdgeClient(loaded.endpoints.resolve(edge_server()), RELOAD_SECONDS)
    agent = Agent(loaded.config, state, hub, edge, time.time, np.random.default_rng())
    _listen(loaded, wake)
    log.info("agent started", edge=loaded.config.edge, line=loaded.config.line)
    while True:
        wake.clear()
        wake.wait(agent.step())


def _listen(loaded: Loaded[AgentConfig], wake: threading.Event) -> None:
    """Hear of new heads at once where there is a broker; without one polling finds them."""
    url = loaded.endpoints.known.get(BROKER)
    if url is None:
        return
    principal, secret = str(claimed(loaded.token)), loaded.token.partition(".")[2]
    link = MqttLink(url, principal, secret, None, KEEPALIVE_SECONDS, loaded.trust)
    link.subscribe(topics.line_hint(loaded.config.line), lambda topic, payload: wake.set())
    link.start()


if __name__ == "__main__":
    main()
