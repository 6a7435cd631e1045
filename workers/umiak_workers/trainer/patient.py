"""The hub for somebody who has time: a call that finds it away is tried again for a while before the round gives up."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import structlog
import tenacity

from umiak_workers.adapters.hub_client import HubClient
from umiak_workers.contract.errors import Unavailable
from umiak_workers.contract.messages import RoundReport, SampleList

LONGEST_PAUSE = 10.0
T = TypeVar("T")
log = structlog.get_logger()


class PatientHub:
    """Each call is tried again for at most `patience` seconds; then its Unavailable comes through."""

    def __init__(self, hub: HubClient, patience: float) -> None:
        self._hub = hub
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=tenacity.stop_after_delay(patience),
            wait=tenacity.wait_exponential_jitter(max=LONGEST_PAUSE, jitter=0.5),
            before_sleep=_say,
            reraise=True,
        )

    def every_sample(self, namespace: str, resource: str, until: int) -> SampleList:
        """See HubClient.every_sample."""
        return self._try(lambda: self._hub.every_sample(namespace, resource, until))

    def sample_bytes(self, namespace: str, resource: str, position: int, part: Literal["image", "label"]) -> bytes:
        """See HubClient.sample_bytes."""
        return self._try(lambda: self._hub.sample_bytes(namespace, resource, position, part))

    def fetch_model(self, digest: str, into: Path, max_bytes: int) -> Path:
        """See HubClient.fetch_model; goes on where it broke off."""
        return self._try(lambda: self._hub.fetch_model(digest, into, max_bytes))

    def push_model(self, folder: Path) -> str:
        """See HubClient.push_model."""
        return self._try(lambda: self._hub.push_model(folder))

    def put_round(self, namespace: str, resource: str, report: RoundReport) -> None:
        """See HubClient.put_round."""
        self._try(lambda: self._hub.put_round(namespace, resource, report))

    def _try(self, call: Callable[[], T]) -> T:
        return self._retrying(call)


def _say(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.info("the hub is away, trying again", attempt=state.attempt_number, reason=str(error))
