"""What changed between two pictures of a local world, as plain lines for a person. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from umiak_workers.contract.world import ContainerStatus, ResourceStatus, World


def news(before: World | None, now: World) -> list[str]:
    """One line for every pod and resource that came, went or is no longer as it was."""
    return [*_pod_news(before, now), *_resource_news(before, now)]


def verdict(resource: ResourceStatus) -> str:
    """The condition that matters most, in one line: `Ready=False AwaitingModel: ...`."""
    conditions = {item.get("type"): item for item in resource.status.get("conditions") or ()}
    found = conditions.get("Ready") or conditions.get("Succeeded")
    return _condition(found) if found else "no status yet"


def _condition(found: Mapping[str, Any]) -> str:
    message = f": {found['message']}" if found.get("message") else ""
    return f"{found['type']}={found['status']} {found.get('reason', '')}{message}".strip()


def _pod_news(before: World | None, now: World) -> Iterator[str]:
    old = {pod.name: {item.name: item for item in pod.containers} for pod in before.pods} if before else {}
    for pod in now.pods:
        for item in pod.containers:
            said = _container_news(old.get(pod.name, {}).get(item.name), item)
            if said:
                yield f"{pod.name}/{item.name} {said}"
    for name in sorted(set(old) - {pod.name for pod in now.pods}):
        yield f"{name} has ended"


def _container_news(before: ContainerStatus | None, now: ContainerStatus) -> str:
    if before is not None and now.restarts > before.restarts:
        return now.message or f"ended and was started again (restart {now.restarts})"
    if now.ready and not (before and before.ready and before.pid == now.pid):
        return f"ready, pid {now.pid}" + (f", {now.address}" if now.address else "")
    if now.pid and not (before and before.pid):
        return f"started, pid {now.pid}"
    if before is not None and before.pid and not now.pid:
        return now.message or "ended"
    return "no longer ready" if before and before.ready and not now.ready else ""


def _resource_news(before: World | None, now: World) -> Iterator[str]:
    old = {_name(resource): verdict(resource) for resource in before.resources} if before else {}
    for resource in now.resources:
        if old.get(_name(resource)) != verdict(resource):
            yield f"{_name(resource)} {verdict(resource)}"
    for name in sorted(set(old) - {_name(resource) for resource in now.resources}):
        yield f"{name} removed"


def _name(resource: ResourceStatus) -> str:
    return f"{resource.kind}/{resource.namespace}/{resource.name}"
