"""The few requests that the operator sends to a Kubernetes API server, blocking calls in a bounded pool.

Every call has a timeout. Objects are plain dicts: a plan's children go in and live objects come out without a detour
through generated classes, which would drop what they do not know.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from kubernetes.client import ApiClient
from urllib3.exceptions import HTTPError

from umiak_operators.api.resource import API_VERSION, PLURALS
from umiak_operators.plan import names

T = TypeVar("T")
_APPLY = "application/apply-patch+yaml"
_NAMES_ALONE = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 500
_JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class KindInfo:
    """Where a kind lives in the API."""

    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, name: str | None) -> str:
        """Path of one object, or of the collection without `name`; all namespaces without `namespace`."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


CHILD_KINDS: Mapping[str, KindInfo] = {
    "Deployment": KindInfo("apps/v1", "deployments"),
    "Job": KindInfo("batch/v1", "jobs"),
    "PersistentVolumeClaim": KindInfo("v1", "persistentvolumeclaims"),
    "Secret": KindInfo("v1", "secrets"),
    "Service": KindInfo("v1", "services"),
}
"""What plans may contain beside our own kinds; anything else is a defect of a plan."""
OWNER_KINDS: Mapping[str, KindInfo] = {kind: KindInfo(API_VERSION, plural) for kind, plural in PLURALS.items()}
KINDS: Mapping[str, KindInfo] = {
    **CHILD_KINDS,
    **OWNER_KINDS,
    "Namespace": KindInfo("v1", "namespaces", namespaced=False),
    "Node": KindInfo("v1", "nodes", namespaced=False),
}


class ApiError(Exception):
    """The API server did not do what was asked; the text is its own message, `status` 0 if it was not reached."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Timeouts:
    """Seconds."""

    connect: float
    read: float


class Server(Protocol):
    """An API server as the runtime uses it; `Api` is the real one, `runtime.memory` has its twin."""

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        """The live object, or None."""

    async def living(self, kind: str) -> set[tuple[str, str]]:
        """(namespace, name) of every object of a kind that decisions look at; of child kinds only what is labelled."""

    async def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply under our field manager; returns the live object."""

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete the object with that uid (and what it owns, in the background); fine if it is gone already."""

    async def set_status(
        self, kind: str, namespace: str, name: str, uid: str, status: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Replace the status of the object with that uid; None if it is gone or another one by now."""


class Api:
    """Asynchronous face of one ApiClient; at most `threads` requests at once."""

    def __init__(self, client: ApiClient, timeouts: Timeouts, threads: int) -> None:
        self._client = client
        self._timeouts = timeouts
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kube-api")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        """See Server.get."""
        try:
            return await self._send("GET", KINDS[kind].path(namespace, name), {}, {}, None)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def living(self, kind: str) -> set[tuple[str, str]]:
        """See Server.living. Names alone are sent: thousands of bodies would cost more than they tell."""
        query = {"limit": str(_PAGE)} | ({"labelSelector": names.OWNER_KIND} if kind in CHILD_KINDS else {})
        found: set[tuple[str, str]] = set()
        while True:
            page = await self._send("GET", KINDS[kind].path(None, None), query, {"Accept": _NAMES_ALONE}, None)
            found |= {(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in page["items"]}
            following = page["metadata"].get("continue")
            if not following:
                return found
            query["continue"] = following

    async def served(self, api_version: str) -> set[str]:
        """Plural names of the kinds that the server serves in a group's version; empty if it does not know it."""
        try:
            answer = await self._send("GET", f"/apis/{api_version}", {}, {}, None)
        except ApiError as error:
            if error.status == 404:
                return set()
            raise
        return {item["name"] for item in answer["resources"]}

    async def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """See Server.apply."""
        meta = body["metadata"]
        path = KINDS[body["kind"]].path(meta["namespace"], meta["name"])
        query = {"fieldManager": names.MANAGER, "force": "true"}
        return await self._send("PATCH", path, query, {"Content-Type": _APPLY}, dict(body))

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """See Server.delete."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._send("DELETE", KINDS[kind].path(namespace, name), {}, {}, options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def set_status(
        self, kind: str, namespace: str, name: str, uid: str, status: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """See Server.set_status."""
        path = KINDS[kind].path(namespace, name) + "/status"
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": dict(status)},
        ]
        query = {"fieldManager": names.MANAGER}
        try:
            return await self._send("PATCH", path, query, {"Content-Type": _JSON_PATCH}, patch)
        except ApiError as error:
            if error.status == 404 or (error.status == 422 and "test operation" in str(error).lower()):
                return None
            raise

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
    ) -> dict[str, Any]:
        return await self._in_pool(lambda: self._blocking(method, path, query, headers, body))

    async def _in_pool(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _blocking(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
    ) -> dict[str, Any]:
        client, limits = self._client, (self._timeouts.connect, self._timeouts.read)
        accept = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        request = client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=accept,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer: Any = client.call_api(*request, _request_timeout=limits)
            text = answer.read()
        except HTTPError as error:
            raise ApiError(0, f"the API server was not reached: {error}") from error
        if not 200 <= answer.status < 300:
            raise ApiError(answer.status, _message(answer.status, text))
        found: dict[str, Any] = json.loads(text)
        return found


def _message(status: int, text: bytes) -> str:
    """The server's own words, if it said any."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}: {text[:200].decode(errors='replace')}"
