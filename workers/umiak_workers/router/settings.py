"""Live settings: polled from the hub, hinted at by MQTT, applied in place, kept on disk for a start without the hub."""

import asyncio
from pathlib import Path

import structlog

from umiak_workers.adapters.configfile import durable_write
from umiak_workers.contract.errors import MessageError, UmiakError
from umiak_workers.contract.messages import LiveSettings
from umiak_workers.contract.wire import parse
from umiak_workers.router.frames import HubPort
from umiak_workers.router.policy import Policy

FILE = "settings.json"
log = structlog.get_logger()


class SettingsLoop:
    """Follows the hub's settings every `seconds`, or at once when `hint` is called (from any task of the loop)."""

    def __init__(self, hub: HubPort, policy: Policy, state: Path, seconds: float) -> None:
        self._hub = hub
        self._policy = policy
        self._file = state / FILE
        self._seconds = seconds
        self._hinted = asyncio.Event()

    def hint(self) -> None:
        """Something changed: look now."""
        self._hinted.set()

    def recall(self) -> None:
        """Apply what was in force before the last stop."""
        try:
            self._policy.apply(parse(LiveSettings, self._file.read_bytes()))
        except FileNotFoundError:
            return
        except MessageError as error:
            log.warning("the kept live settings cannot be used", reason=str(error))

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.look()
            try:
                async with asyncio.timeout(self._seconds):  # (3.11's wait_for can lose a cancellation)
                    await self._hinted.wait()
            except TimeoutError:
                continue
            finally:
                self._hinted.clear()

    async def look(self) -> None:
        """One look; a hub that is away or says nonsense changes nothing. Version 0 means that nothing is set."""
        try:
            settings = await self._hub.settings()
            if settings.settings_version in (0, self._policy.settings_version):
                return
            self._policy.apply(settings)
        except UmiakError as error:
            log.warning("live settings cannot be read", reason=str(error))
            return
        try:
            await asyncio.to_thread(durable_write, self._file, settings.model_dump_json(exclude_none=True).encode())
        except OSError as error:  # they hold until the next start, which asks the hub again
            log.warning("live settings cannot be kept on disk", reason=str(error))
        log.info("live settings applied", version=settings.settings_version)
