"""The embedded broker as a process: amqtt (MQTT 3.1.1) on loopback, for machines without mosquitto.

`python -m umiak_operators.runtime.local.embedded_broker --config FILE`; the file holds `port` and `key_file`. Who may
connect is whoever proves a principal by its HMAC; who may say what is `acl.py`.
"""

import argparse
import asyncio
import hmac
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from umiak_operators.runtime.local.acl import allowed
from umiak_operators.runtime.local.files import read_json
from umiak_workers.contract.errors import IdentityError, UmiakError
from umiak_workers.contract.identity import Principal, password

_HERE = "umiak_operators.runtime.local.embedded_broker"


class ProvenPrincipal(BaseAuthPlugin):  # type: ignore[misc]
    """User name and client id are the principal, the password its HMAC."""

    @dataclass
    class Config:
        """Options of the plugin."""

        key_file: str = ""

    async def authenticate(self, *, session: Session) -> bool | None:
        """Whether the client proved who it is."""
        try:
            principal = Principal.parse(session.username or "")
        except IdentityError:
            return False
        key = bytes.fromhex(Path(self.config.key_file).read_text().strip())
        proven = hmac.compare_digest(password(key, principal), session.password or "")
        return proven and session.client_id == str(principal)


class OwnTopics(BaseTopicPlugin):  # type: ignore[misc]
    """Each principal keeps to its own topics."""

    @dataclass
    class Config:
        """No options."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool | None:
        """Whether the client may publish to, subscribe to or be sent this topic."""
        if session is None or session.username is None or topic is None:
            return False
        return allowed(Principal.parse(session.username), "write" if action == Action.PUBLISH else "read", topic)


def broker_config(port: int, key_file: str) -> BrokerConfig:
    """amqtt's own config: one loopback listener, our two plugins."""
    listener: dict[str, Any] = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    plugins = {f"{_HERE}.ProvenPrincipal": {"key_file": key_file}, f"{_HERE}.OwnTopics": {}}
    return BrokerConfig.from_dict({"listeners": {"default": listener}, "plugins": plugins})


async def serve(config: BrokerConfig) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(config)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main() -> None:
    """Entry point; what is wrong is one line on stderr."""
    parser = argparse.ArgumentParser(description="MQTT broker of a local world")
    parser.add_argument("--config", type=Path, required=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    try:
        options = read_json(parser.parse_args().config)
        asyncio.run(serve(broker_config(options["port"], options["key_file"])))
    except (UmiakError, OSError) as error:
        print(f"broker: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
