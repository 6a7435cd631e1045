"""The hub as operators use it: tell it what it should hold for an owner, see what it has seen, hear what changed.

The hub may be away at any time. Then nothing is lost and nothing waits: a view is None (the last figures stay in the
status), what could not be told is told on its return, and one long poll notices that return and rings everybody.
"""

import asyncio
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import certifi
import httpx
import structlog
from pydantic import TypeAdapter, ValidationError

from umiak_operators.runtime.clock import Clock
from umiak_operators.runtime.seam import FleetRefused
from umiak_workers.contract import routes
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.fleet import Changes, FleetSpec, FleetView, Owner
from umiak_workers.contract.wire import parse

log = structlog.get_logger()
_NOBODY_THERE = (401, 403, 429, 502, 504)
"""Statuses that say nothing of one owner: a wrong token, too many calls, a gateway without a hub."""
_UIDS = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True)
class FleetTimes:
    """Seconds."""

    request: float
    long_poll: float = 25
    first_backoff: float = 0.2
    longest_backoff: float = 10
    patience: float = 5
    """A hub that is away for less (a restart) is not worth a word in every status."""


@dataclass(frozen=True)
class Doorbells:
    """Whom to tell of changes."""

    changed: Callable[[str], None]
    """The view of the owner with this uid changed."""
    everyone: Callable[[], None]
    """The hub is (again) there, or has been missed for a while: every owner should be looked at."""


class Hub(Protocol):
    """A hub as a runtime uses it; `Fleet` is the real one, `runtime.memory_hub` has its twin."""

    async def view(self, owner: Owner) -> FleetView | None:
        """What the hub has seen for an owner (nothing, if it was never told of it); None while it is away."""

    async def tell(self, uid: str, spec: FleetSpec | None) -> None:
        """Make the hub hold `spec` (None: nothing) for an owner, unless it was told so already or is away."""

    async def drop(self, uid: str) -> None:
        """The owner is gone: the hub should hold nothing for it."""

    async def owners(self) -> tuple[str, ...]:
        """uids that the hub holds something for; empty while it is away."""


def _trusting(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())  # for images without a bundle of their own
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


class Fleet:
    """One hub over HTTP. Enter it before use. `ca`: authorities (PEM) that it trusts beside those of its machine."""

    def __init__(self, url: str, token: str, times: FleetTimes, clock: Clock, rng: random.Random, ca: str = "") -> None:
        self._ca = ca
        self._url, self._token = url.rstrip("/"), token
        self._times, self._clock, self._rng = times, clock, rng
        self._away = ""
        self._told: dict[str, str] = {}
        self._missed: float | None = None
        self._failures, self._said = 0, False
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._token}"},
            verify=_trusting(self._ca),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()

    @property
    def away(self) -> bool:
        """The last thing that was asked of it got no usable answer."""
        return bool(self._away)

    async def view(self, owner: Owner) -> FleetView | None:
        """See Hub.view."""
        if self._away:
            return None
        try:
            answer = await self._ask("GET", routes.OWNER.format(uid=owner.uid))
            return FleetView(owner=owner) if answer is None else parse(FleetView, answer.content)
        except _Away as error:
            self._gone(error)
        except (FleetRefused, MessageError) as error:  # of this owner alone
            log.warning("the hub has no usable view", owner=f"{owner.kind} {owner.namespace}/{owner.name}", error=error)
        return None

    async def tell(self, uid: str, spec: FleetSpec | None) -> None:
        """See Hub.tell."""
        text = spec.model_dump_json(exclude_none=True) if spec else ""
        if self._away or self._told.get(uid) == text:
            return
        try:
            if spec:
                await self._ask("PUT", routes.OWNER.format(uid=uid), content=text)
            else:
                await self._ask("DELETE", routes.OWNER.format(uid=uid))
            self._told[uid] = text
        except _Away as error:
            self._gone(error)

    async def drop(self, uid: str) -> None:
        """See Hub.drop."""
        await self.tell(uid, None)
        self._told.pop(uid, None)

    async def owners(self) -> tuple[str, ...]:
        """See Hub.owners."""
        try:
            answer = await self._ask("GET", routes.OWNERS)
            return _UIDS.validate_json(answer.content) if answer else ()
        except (_Away, FleetRefused, ValidationError) as error:
            self._gone(error)
            return ()

    async def follow(self, bells: Doorbells) -> None:
        """Long-poll the change stream and ring, until cancelled. This alone finds out that the hub is back."""
        cursor, connected = 0, False
        while True:
            try:
                page = await self._changes(cursor, self._times.long_poll) if connected else await self._changes(0, 0)
            except (_Away, FleetRefused, MessageError) as error:
                connected = False
                await self._wait_for_it(error, bells)
                continue
            if self._away or not connected or page.cursor < cursor:
                self._back()
                bells.everyone()
            else:
                for uid in page.owners:
                    bells.changed(uid)
            cursor, connected = page.cursor, True

    async def _wait_for_it(self, error: Exception, bells: Doorbells) -> None:
        """Pause before the next try; everybody is rung once when it has been missed for long enough to be said."""
        now = self._clock.now()
        self._gone(error)
        if self._missed is None:
            self._missed, self._failures, self._said = now, 0, False
        if not self._said and now - self._missed >= self._times.patience:
            self._said = True
            bells.everyone()
        self._failures += 1
        await asyncio.sleep(self._pause(self._failures))

    async def _changes(self, cursor: int, wait: float) -> Changes:
        query = {"after": cursor, "wait": wait}
        answer = await self._ask("GET", routes.CHANGES, params=query, timeout=wait + self._times.request)
        if answer is None:
            raise _Away("it knows no change stream")
        return parse(Changes, answer.content)

    async def _ask(
        self,
        method: str,
        path: str,
        content: str | None = None,
        params: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response | None:
        """The answer; None for 404. Raises _Away for a hub that cannot be spoken to, FleetRefused for any other no."""
        if self._http is None:
            raise RuntimeError("enter the Fleet before use")
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            answer = await self._http.request(
                method, path, content=content, params=params, headers=headers, timeout=timeout or self._times.request
            )
        except httpx.HTTPError as error:
            raise _Away(f"{type(error).__name__} {error}".strip()) from error
        if answer.is_success:
            return answer
        if answer.status_code == 404 and method != "PUT":
            return None
        text = f"{method} {path}: HTTP {answer.status_code} {' '.join(answer.text.split())[:300]}"
        if answer.status_code in _NOBODY_THERE:
            raise _Away(text)
        raise FleetRefused(text)

    def _gone(self, error: Exception) -> None:
        if not self._away:
            log.warning("the hub is away, going on with the last figures", hub=self._url, error=str(error))
        self._away = str(error) or repr(error)

    def _back(self) -> None:
        if self._away:
            log.info("the hub is back", hub=self._url)
        self._away, self._missed = "", None
        self._told.clear()

    def _pause(self, failures: int) -> float:
        longest = min(self._times.longest_backoff, self._times.first_backoff * 2.0 ** min(failures, 10))
        return self._rng.uniform(longest / 2, longest)


class _Away(Exception):
    """No usable answer; trying again later is right."""
