"""`python -m umiak_workers.hub --config F --state D`: models, lines, replay and reports behind one listener."""

import asyncio
import contextlib
import fcntl
import random
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import structlog

from umiak_workers.adapters import process, serving
from umiak_workers.adapters.auth import Gate, read_key
from umiak_workers.adapters.configfile import Loaded, load
from umiak_workers.adapters.database import Database
from umiak_workers.adapters.mqtt import MqttLink
from umiak_workers.contract import identity
from umiak_workers.contract.config import OPERATOR_KEY_FILE, HubConfig
from umiak_workers.contract.endpoints import BROKER
from umiak_workers.contract.errors import ConfigError, Unavailable
from umiak_workers.core.release import key_id
from umiak_workers.hub.app import build
from umiak_workers.hub.hints import Hints
from umiak_workers.hub.housekeeping import Chore, chores, keep_house
from umiak_workers.hub.hub import Hub
from umiak_workers.hub.importer import Importer

KEEPALIVE_SECONDS = 30
HINT_SECONDS = 0.25
IMPORT_SECONDS = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between two looks at a database that is away at start."""
log = structlog.get_logger()


async def main(given: process.Arguments, stop: asyncio.Event) -> None:
    """Wire and run until `stop`."""
    state = given.state_folder()
    loaded = load(HubConfig, given.config, None, "hub")
    gate = Gate(partial(identity.verify, read_key(loaded.folder / OPERATOR_KEY_FILE)))
    for trusted in loaded.config.trusted_keys:
        key_id(trusted)  # a key that is none is found at start, not with the first signature
    with contextlib.closing(serving.bind(loaded.endpoints, "hub")) as listener, alone(state):
        hub = Hub(loaded.config, state, time.time, _database(loaded))
        if not await _opened(hub, random.Random(), stop):
            hub.database.close()
            return
        try:
            await _serve(hub, gate, listener, _link(loaded), stop)
        finally:
            await asyncio.to_thread(hub.close)


def _database(loaded: Loaded[HubConfig]) -> Database | None:
    """The PostgreSQL whose URL is in a file; raises ConfigError that names the file and tells nothing of its text."""
    if loaded.config.database_file is None:
        return None
    file = loaded.folder / loaded.config.database_file
    named = f"database_file {file}"
    try:
        url = file.read_text("ascii").strip()
    except OSError as error:
        raise ConfigError(f"{named}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{named}: expected text of a URL, with special characters as %XX") from error
    if url.startswith("sqlite"):
        raise ConfigError(f"{named}: SQLite has its own place under --state and needs no URL")
    return Database(url, named)


async def _opened(hub: Hub, rng: random.Random, stop: asyncio.Event) -> bool:
    """Open the books, as soon as the database is there; False when told to stop before that."""
    pause = FIRST_PAUSE
    while not stop.is_set():
        try:
            await asyncio.to_thread(hub.start)
        except Unavailable as error:
            log.warning("the database is away and will be tried again", reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), rng.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE)
        except BaseException:
            hub.database.close()
            raise
        else:
            return True
    return False


async def _serve(hub: Hub, gate: Gate, listener: socket.socket, link: MqttLink | None, stop: asyncio.Event) -> None:
    threading.Thread(target=_import, args=(hub,), name="importer", daemon=True).start()
    todo = chores(hub) + ((_hinting(hub, link),) if link else ())
    try:
        app = build(hub, gate, stop)
        await serving.until_stopped(
            stop, serving.serve(app, listener, stop), keep_house(todo, stop), _wake_waiting(hub, stop)
        )
    finally:
        if link:
            link.stop(None)


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the state folder: a second hub over it would sweep away what the first is about to promise."""
    with (state / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"--state {state}: another hub works on it") from error
        yield


def _import(hub: Hub) -> None:
    """Initial models come in a thread of their own: a slow network must not hold up the end of the process."""
    importer = Importer(hub, random.Random())
    while True:
        hub.import_wanted.wait(IMPORT_SECONDS)
        if hub.import_wanted.is_set() or importer.is_due():
            hub.import_wanted.clear()
            try:
                importer.work()
            except Exception as error:  # noqa: BLE001 - outermost loop: nobody would miss the thread
                log.warning("importing failed and will be tried again", reason=str(error) or type(error).__name__)
                time.sleep(IMPORT_SECONDS)
                hub.import_wanted.set()


def _link(loaded: Loaded[HubConfig]) -> MqttLink | None:
    """The broker, where the endpoint map knows one."""
    if BROKER not in loaded.endpoints.known:
        return None
    who = str(identity.claimed(loaded.token))
    secret = loaded.token.partition(".")[2]
    return MqttLink(loaded.endpoints.resolve(BROKER), who, secret, None, KEEPALIVE_SECONDS, loaded.trust)


def _hinting(hub: Hub, link: MqttLink) -> Chore:
    hints = Hints(hub, link)
    hints.start()
    link.start()
    return Chore("send hints", HINT_SECONDS, hints.send)


async def _wake_waiting(hub: Hub, stop: asyncio.Event) -> None:
    await stop.wait()
    hub.bell.ring()


if __name__ == "__main__":
    process.run("hub", main)
