"""GET requests to an API server, and nothing else: the one way in which the doctor touches a cluster."""

import json
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, ApiException, Configuration
from urllib3.exceptions import HTTPError

from umiak_operators.cli.doctor.bounded import TooSlow, within
from umiak_operators.runtime.cluster.api import ApiError
from umiak_workers.contract.errors import ConfigError

_CONNECT_SECONDS: Final = 5.0
_LOGIN_SECONDS: Final = 20.0
_PAGE: Final = 500
_MOST_PAGES: Final = 40


def client_of(kubeconfig: Path | None, context: str | None) -> ApiClient:
    """A client that does not try again by itself; raises ConfigError. Without a file: KUBECONFIG, ~/.kube/config."""
    chosen = Configuration()

    def load() -> None:
        read: Callable[..., None] = kubernetes_config.load_kube_config
        read(
            config_file=str(kubeconfig) if kubeconfig else None,
            context=context,
            client_configuration=chosen,
            persist_config=False,
        )

    try:
        within(_LOGIN_SECONDS, load)
    except TooSlow as error:
        raise ConfigError(f"{kubeconfig or 'kubeconfig'}: its credential helper gave {error}") from error
    except (kubernetes_config.ConfigException, OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{kubeconfig or 'kubeconfig'}: {' '.join(str(error).split())}") from error
    chosen.retries = False
    return ApiClient(chosen)


class Reader:
    """Reads within `patience` seconds in all, one request within `request` seconds."""

    def __init__(self, client: ApiClient, request: float, patience: float) -> None:
        self._client = client
        self._request = request
        self._deadline = time.monotonic() + patience
        self.server = str(client.configuration.host)
        self.ahead: float | None = None
        """Seconds by which the server's clock is ahead of ours, from its last answer; exact to a second."""

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """An object or a page of objects; raises ApiError with the server's own words."""
        try:
            found: dict[str, Any] = json.loads(self.text(path, query))
        except ValueError as error:
            raise ApiError(0, f"{self.server} answers, but not as an API server does") from error
        return found

    def items(self, path: str, query: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
        """A collection, page by page; raises ApiError."""
        found: list[dict[str, Any]] = []
        asked = {**query, "limit": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            page = self.get(path, asked)
            kind = str(page.get("kind", "")).removesuffix("List")
            found += [{"kind": kind, **item} for item in page.get("items") or ()]
            if not (following := (page.get("metadata") or {}).get("continue")):
                break
            asked["continue"] = following
        return tuple(found)

    def text(self, path: str, query: Mapping[str, str], seconds: float | None = None) -> str:
        """The body of an answer; raises ApiError, also once the patience is used up. `seconds`: less than usual."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ApiError(0, "there was no time left")
        limits = (min(_CONNECT_SECONDS, left), min(seconds or self._request, left))
        request = self._client.param_serialize(
            "GET",
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*"},
            auth_settings=["BearerToken"],
        )
        sent = time.time()
        try:
            answer: Any = self._client.call_api(*request, _request_timeout=limits)
            body = bytes(answer.read())
        except (HTTPError, ApiException, OSError) as error:
            raise ApiError(0, _plainly(error)) from error
        self._compare_clocks(answer.headers.get("Date"), sent, time.time())
        if not 200 <= answer.status < 300:
            raise ApiError(answer.status, _message(answer.status, body))
        return body.decode(errors="replace")

    def _compare_clocks(self, date: str | None, sent: float, received: float) -> None:
        """The header says whole seconds, cut off; half a second is the best guess."""
        try:
            when = parsedate_to_datetime(date).timestamp() if date else None
        except ValueError:
            when = None
        if when is not None and received - sent < 5:
            self.ahead = when + 0.5 - (sent + received) / 2


def _message(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"


def _plainly(error: Exception) -> str:
    """The words of an error without the object's address that urllib3 puts in front of them."""
    text = " ".join(str(error).split())
    return text.rpartition("object at 0x")[2].partition(": ")[2] or text if "object at 0x" in text else text
