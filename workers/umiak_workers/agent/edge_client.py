"""The edge server as the agent sees it: what it answers with, and the request to answer with something else."""

from typing import Any

import httpx

from umiak_workers.contract import routes
from umiak_workers.contract.errors import MessageError, Refused, Unavailable

PROBE_SECONDS = 5.0


class EdgeClient:
    """HTTP to the edge server of the same pod. `reload_seconds` bounds a load with its golden input."""

    def __init__(self, base_url: str, reload_seconds: float) -> None:
        self._http = httpx.Client(base_url=base_url.rstrip("/"), timeout=reload_seconds, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def serving(self) -> str | None:
        """Digest of the model that the edge answers with, None while it has none; raises Unavailable."""
        try:
            response = self._http.get(routes.HEALTH_READY, timeout=PROBE_SECONDS)
        except httpx.TransportError as error:
            raise Unavailable(f"edge: {error or type(error).__name__}") from error
        active = _json(response).get("active")
        return active if isinstance(active, str) else None

    def reload(self, digest: str) -> None:
        """Have the edge load, try and swap to a model of its slots.

        Raises Refused with the edge's own reason, Unavailable when it went away meanwhile.
        """
        try:
            response = self._http.post(routes.RELOAD, json={"digest": digest})
        except httpx.TransportError as error:
            raise Unavailable(f"edge: {error or type(error).__name__} while loading {digest}") from error
        if not response.is_success:
            raise Refused(f"edge: {_json(response).get('error', response.reason_phrase)}", response.status_code)
        if (active := _json(response).get("active")) != digest:
            raise Refused(f"edge: serves {active} after being asked for {digest}", response.status_code)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError as error:
        raise MessageError(f"edge: {response.request.url.path} did not answer JSON") from error
    if not isinstance(said, dict):
        raise MessageError(f"edge: {response.request.url.path} answered {type(said).__name__}, expected an object")
    return said
