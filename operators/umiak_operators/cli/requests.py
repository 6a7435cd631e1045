"""Blocking requests to a Kubernetes API server, for the small programs of an installation.

The client's generated classes are left alone: they take seconds to load and tens of megabytes, for three requests.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from umiak_operators.runtime.cluster.api import ApiError

CONNECT_SECONDS = 5


def send(
    client: ApiClient, method: str, path: str, query: Mapping[str, str], body: Any, seconds: float
) -> dict[str, Any]:
    """The server's answer; raises ApiError with its own words. `seconds`: between two pieces of the answer."""
    try:
        found: dict[str, Any] = json.loads(_open(client, method, path, query, body, seconds).read())
    except (HTTPError, ValueError) as error:
        raise ApiError(0, f"the API server was not reached: {error}") from error
    return found


def events(client: ApiClient, path: str, query: Mapping[str, str], seconds: int) -> Iterator[dict[str, Any]]:
    """What a watch tells for at most `seconds`; raises ApiError when it breaks or the server ends it with an error."""
    asked = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
    try:
        for line in _open(client, "GET", path, asked, None, seconds + 30).response:
            event: dict[str, Any] = json.loads(line)
            if event["type"] == "ERROR":
                raise ApiError(int(event["object"].get("code", 0)), str(event["object"].get("message", event)))
            yield event
    except (HTTPError, ValueError) as error:
        raise ApiError(0, f"the watch broke: {error}") from error


def _open(client: ApiClient, method: str, path: str, query: Mapping[str, str], body: Any, seconds: float) -> Any:
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    request = client.param_serialize(
        method,
        path,
        query_params=list(query.items()),
        header_params=headers,
        body=body,
        auth_settings=["BearerToken"],
    )
    try:
        answer: Any = client.call_api(*request, _request_timeout=(CONNECT_SECONDS, seconds))
    except (HTTPError, ApiException) as error:
        raise ApiError(0, f"the API server was not reached: {error}") from error
    if not 200 <= answer.status < 300:
        raise ApiError(answer.status, _message(answer.read()))
    return answer


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")
