"""Reads all facts of a cluster: many small GETs side by side; one that is refused stops none of the others."""

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import resources as package
from typing import Any, Final

import yaml

from umiak_operators.api.resource import API_VERSION, GROUP, PLURALS
from umiak_operators.cli.doctor import outside
from umiak_operators.cli.doctor.check_certificates import keys_secret, tls_secrets
from umiak_operators.cli.doctor.facts import (
    Facts,
    Figure,
    Gap,
    Obj,
    Objects,
    Reach,
    Secret,
    name_of,
    namespace_of,
    status_of,
)
from umiak_operators.cli.doctor.reader import Reader
from umiak_operators.cli.doctor.secret_facts import secret
from umiak_operators.plan import names
from umiak_operators.runtime.cluster.api import ApiError

_OURS: Final = "app.kubernetes.io/name=umiak"
_CONFIGS: Final = ("umiak-platform", "umiak-gateway", "umiak-broker")
_MOST_LOGS: Final = 8
_MOST_NAMESPACES: Final = 20
_SIDE_BY_SIDE: Final = 8
_DIAL_SECONDS: Final = 5.0
_FIGURES_SECONDS: Final = 5.0
"""Through the API server to the hub: some networks let nobody pass there."""
_SAMPLE: Final = re.compile(r"^(umiak_[a-z_]+)(?:\{(.*)\})? ([0-9.eE+-]+)$")
_LABEL: Final = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')
_WANTED: Final = (
    "umiak_hub_state_bytes", "umiak_hub_state_limit_bytes", "umiak_fleet_queue_items",
    "umiak_fleet_queue_oldest_seconds", "umiak_fleet_dropped_total", "umiak_fleet_agents",
)  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """A collection to read."""

    field: str
    root: str
    plural: str
    spread: bool = True
    """In all namespaces, or only in the installation's."""
    scoped: bool = True
    """False: the kind has no namespaces."""
    labels: str = ""

    def path(self, namespace: str | None) -> str:
        """Of the collection; of all namespaces without one."""
        return f"{self.root}/namespaces/{namespace}/{self.plural}" if namespace else f"{self.root}/{self.plural}"

    def right(self, namespace: str | None) -> str:
        """What `kubectl auth can-i` takes."""
        group = self.root.split("/")[2] if self.root.startswith("/apis/") else ""
        where = f" -n {namespace}" if namespace else (" -A" if self.scoped else "")
        return f"list {self.plural}{f'.{group}' if group else ''}{where}"


_ASKS: Final = (
    Ask("definitions", "/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", scoped=False),
    Ask("namespaces", "/api/v1", "namespaces", scoped=False),
    Ask("nodes", "/api/v1", "nodes", scoped=False),
    Ask("storage_classes", "/apis/storage.k8s.io/v1", "storageclasses", scoped=False),
    Ask("deployments", "/apis/apps/v1", "deployments", labels=_OURS),
    Ask("pods", "/api/v1", "pods", labels=_OURS),
    Ask("jobs", "/apis/batch/v1", "jobs", labels=_OURS),
    Ask("claims", "/api/v1", "persistentvolumeclaims", labels=_OURS),
    Ask("services", "/api/v1", "services", spread=False, labels=_OURS),
)


@dataclass
class Gathering:
    """One visit to a cluster."""

    reader: Reader
    namespace: str
    gaps: list[Gap] = field(default_factory=list)

    def read(self, version: str) -> Facts:
        """Everything; raises ApiError only if the API server cannot be talked to at all."""
        told = self._version()
        facts = Facts(now=time.time(), version=version, namespace=self.namespace, packaged=packaged())
        facts = replace(facts, server=self.reader.server, server_version=str(told.get("gitVersion", "")))
        with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="umiak-doctor") as pool:
            lists: dict[str, Any] = {ask.field: pool.submit(self._collection, ask) for ask in _ASKS}
            own, leases, configs = pool.submit(self._own), pool.submit(self._leases), pool.submit(self._configs)
            read: dict[str, Any] = {name: future.result() for name, future in lists.items()}
            facts = replace(facts, **read)
            facts = replace(facts, resources=own.result(), leases=leases.result())
            there, platform = configs.result()
            facts = replace(facts, configs=there, platform=platform, now=time.time(), server_ahead=self.reader.ahead)
            rest = pool.submit(self._secrets, facts), pool.submit(self._events, facts), pool.submit(self._logs, facts)
            figures = pool.submit(self._figures, facts)
            secrets, events, logs = rest[0].result(), rest[1].result(), rest[2].result()
            facts = replace(facts, secrets=secrets, events=events, last_words=logs)
            reaches = [pool.submit(dial) for dial in _dials(facts)]
            answers = tuple(future.result() for future in reaches)
            facts = replace(facts, figures=figures.result(), reaches=answers)
        return replace(facts, gaps=tuple(dict.fromkeys(self.gaps)))

    def _version(self) -> Mapping[str, Any]:
        try:
            return self.reader.get("/version", {})
        except ApiError as error:
            if error.status in (0, 401):
                raise
            self._gap(error, "the API server's version", "get /version")
            return {}

    def _collection(self, ask: Ask) -> Objects | None:
        """All of a kind; where only the installation's namespace may be read, that, with a gap."""
        query = {"labelSelector": ask.labels} if ask.labels else {}
        wide = None if ask.spread else self.namespace
        try:
            return self.reader.items(ask.path(wide), query)
        except ApiError as error:
            self._gap(error, ask.plural + (f" of namespace {wide}" if wide else ""), ask.right(wide))
            if error.status != 403 or not ask.scoped or not ask.spread:
                return None
        try:
            return self.reader.items(ask.path(self.namespace), query)
        except ApiError:
            return None

    def _own(self) -> Objects | None:
        """Resources of all three kinds; a kind that is not defined has none."""
        found: list[Obj] = []
        lost = 0
        for plural in PLURALS.values():
            ask = Ask("", f"/apis/{API_VERSION}", plural)
            try:
                found += self.reader.items(ask.path(None), {})
            except ApiError as error:
                if error.status != 404:
                    self._gap(error, plural, ask.right(None))
                    lost += 1
        return None if lost == len(PLURALS) else tuple(found)

    def _leases(self) -> Objects | None:
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        try:
            return self.reader.items(path, {})
        except ApiError as error:
            self._gap(error, "leases of nodes (for their clocks)", "list leases.coordination.k8s.io -n kube-node-lease")
            return None

    def _configs(self) -> tuple[frozenset[str] | None, Mapping[str, Any] | None]:
        """Which ConfigMaps of the chart are there, and what the operator is told."""
        there, platform = set(), None
        for name in _CONFIGS:
            try:
                body = self.reader.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{name}", {})
            except ApiError as error:
                if error.status == 404:
                    continue
                self._gap(error, "the installation's settings (ConfigMaps)", f"get configmaps -n {self.namespace}")
                return None, None
            there.add(name)
            if name == "umiak-platform":
                platform = _settings(body)
        return frozenset(there), platform

    def _secrets(self, facts: Facts) -> dict[str, Secret | None]:
        """Keys, workers' files and certificates, each by name."""
        found: dict[str, Secret | None] = {}
        if not any(True for _ in facts.own(facts.deployments)):
            return found
        for name in (keys_secret(facts), "umiak-hub", "umiak-signer", *tls_secrets(facts)):
            try:
                found[name] = secret(self.reader.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}", {}))
            except ApiError as error:
                if error.status == 404:
                    found[name] = None
                else:
                    self._gap(error, f"Secret {self.namespace}/{name}", f"get secrets/{name} -n {self.namespace}")
        return found

    def _events(self, facts: Facts) -> Objects:
        """Warnings of the installation's namespace and of those with resources."""
        spaces = sorted({namespace_of(body) for body in facts.resources or ()} - {self.namespace})
        found: list[Obj] = []
        for space in (self.namespace, *spaces[:_MOST_NAMESPACES]):
            try:
                found += self.reader.items(f"/api/v1/namespaces/{space}/events", {"fieldSelector": "type=Warning"})
            except ApiError as error:
                self._gap(error, f"events of namespace {space}", f"list events -n {space}")
        return tuple(found)

    def _logs(self, facts: Facts) -> dict[tuple[str, str, str], str]:
        """The last words of containers that end again and again."""
        found: dict[tuple[str, str, str], str] = {}
        for pod, container in _ending(facts)[:_MOST_LOGS]:
            space, name = namespace_of(pod), name_of(pod)
            query = {"container": container, "tailLines": "5", "limitBytes": "16384"}
            if status_of(pod).get("phase") != "Failed":
                query["previous"] = "true"
            try:
                text = self.reader.text(f"/api/v1/namespaces/{space}/pods/{name}/log", query)
            except ApiError as error:
                if error.status == 403:
                    self._gap(error, f"logs of pods in namespace {space}", f"get pods/log -n {space}")
                continue  # the node is away, or the log is gone: the finding does without
            lines = [line for line in text.splitlines() if line.strip()]
            if lines:
                found[space, name, container] = lines[-1]
        return found

    def _figures(self, facts: Facts) -> tuple[Figure, ...] | None:
        """The hub's metrics through the API server, where the hub is available and the network lets it pass."""
        hub = facts.deployment("hub")
        if hub is None or not status_of(hub).get("availableReplicas"):
            return None
        place = f"/api/v1/namespaces/{self.namespace}/services/umiak-hub:{names.PORTS['hub']}/proxy/metrics"
        try:
            return figures_of(self.reader.text(place, {}, _FIGURES_SECONDS))
        except ApiError as error:
            if error.status == 403 and "services/proxy" in str(error):  # and not somebody on the way to the hub
                right = f"get services/umiak-hub:{names.PORTS['hub']} --subresource=proxy -n {self.namespace}"
                self._gap(error, "the hub's figures (queues of edges, room)", right)
            return None

    def _gap(self, error: ApiError, what: str, right: str) -> None:
        if error.status == 403:
            self.gaps.append(Gap(what, right))
        else:
            self.gaps.append(Gap(what, "", str(error)))


def packaged() -> dict[str, Obj]:
    """The resource definitions of this version, by name; none where a package was built without them."""
    folder = package.files("umiak_operators").joinpath("crds")
    if not folder.is_dir():
        return {}
    found = [yaml.safe_load(file.read_text()) for file in folder.iterdir() if file.name.endswith(f".{GROUP}.yaml")]
    return {name_of(body): body for body in found}


def figures_of(text: str) -> tuple[Figure, ...]:
    """The samples that matter, from Prometheus' text format."""
    found = []
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample and sample[1] in _WANTED:
            found.append(Figure(sample[1], dict(_LABEL.findall(sample[2] or "")), float(sample[3])))
    return tuple(found)


def _settings(body: Obj) -> Mapping[str, Any] | None:
    try:
        found = yaml.safe_load((body.get("data") or {}).get("platform.yaml", ""))
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) else None


def _ending(facts: Facts) -> list[tuple[Obj, str]]:
    """Containers that have ended badly at least once, and do not run well now; those of failed Jobs as well."""
    return [
        (pod, str(one["name"]))
        for pod in facts.pods or ()
        for one in (
            *(status_of(pod).get("initContainerStatuses") or ()),
            *(status_of(pod).get("containerStatuses") or ()),
        )
        if not one.get("ready") and (one.get("restartCount", 0) > 0 or _failed(one))
    ]


def _failed(container: Mapping[str, Any]) -> bool:
    return bool(((container.get("state") or {}).get("terminated") or {}).get("exitCode"))


def _dials(facts: Facts) -> list[Callable[[], Reach]]:
    """What to try from this machine, as edges would."""
    told = facts.platform or {}
    shown = [found for name in tls_secrets(facts) if (found := facts.secrets.get(name)) is not None]
    trusted = "\n".join([str(told.get("ca", "")), *(one.authorities for one in shown)])
    dials: list[Callable[[], Reach]] = []
    if told.get("hub"):
        dials.append(lambda: outside.gateway(str(told["hub"]), trusted, _DIAL_SECONDS))
    if told.get("broker"):
        dials.append(lambda: outside.broker(str(told["broker"]), trusted, _DIAL_SECONDS))
    return dials
