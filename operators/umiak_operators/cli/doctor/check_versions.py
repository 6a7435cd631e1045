"""Do API server, resource definitions, installation and this command belong together?"""

import re
from collections.abc import Iterator
from typing import Final

from umiak_operators.api.resource import GROUP, PLURALS, VERSION
from umiak_operators.cli.doctor.facts import Facts, Obj, condition_of, labels_of, name_of, status_of
from umiak_operators.cli.doctor.finding import Finding, ok, problem, warning
from umiak_operators.runtime.structure import missing

OLDEST: Final = (1, 29)
_VERSION_LABEL: Final = "app.kubernetes.io/version"


def check(facts: Facts) -> Iterator[Finding]:
    """Server, definitions, installation."""
    yield from _server(facts)
    yield from _definitions(facts)
    yield from _installation(facts)


def _server(facts: Facts) -> Iterator[Finding]:
    found = re.match(r"v?(\d+)\.(\d+)", facts.server_version or "")
    if found is None:
        return
    if (int(found[1]), int(found[2])) >= OLDEST:
        yield ok("versions.server", f"Kubernetes {facts.server_version}")
        return
    yield problem(
        "versions.server",
        f"Kubernetes {facts.server_version}; Umiak needs {OLDEST[0]}.{OLDEST[1]} or newer",
        "the resource definitions use rules that older API servers do not know",
        "upgrade the cluster",
    )


def _definitions(facts: Facts) -> Iterator[Finding]:
    if facts.definitions is None:
        return
    there, good = {name_of(body): body for body in facts.definitions}, 0
    if not facts.packaged:
        for name in sorted({f"{plural}.{GROUP}" for plural in PLURALS.values()} - there.keys()):
            yield _undefined(facts, name)
    for name, wanted in sorted(facts.packaged.items()):
        found = _definition(facts, name, wanted, there.get(name))
        good += found is None
        if found is not None:
            yield found
        yield from _stored(name, there.get(name))
    if good and good == len(facts.packaged):
        yield ok("versions.definitions", f"{good} resource definitions, all as this version has them")


def _undefined(facts: Facts, name: str) -> Finding:
    why = "such resources cannot be applied, and the operator waits for all three definitions"
    text, subject = "is not defined in this cluster", f"CustomResourceDefinition {name}"
    return problem("versions.definitions", text, why, *_upgrade(facts), subject=subject)


def _upgrade(facts: Facts) -> tuple[str, str]:
    return "kubectl apply -f crds/", f"or, installed by Helm: {facts.helm()}"


def _definition(facts: Facts, name: str, wanted: Obj, live: Obj | None) -> Finding | None:
    upgrade = _upgrade(facts)
    subject = f"CustomResourceDefinition {name}"
    if live is None:
        return _undefined(facts, name)
    if condition_of(live, "Established").get("status") != "True":
        why = condition_of(live, "NamesAccepted").get("message") or "the API server has not accepted it yet"
        text = "the API server does not serve these resources"
        return problem("versions.definitions", f"not established: {why}", text, _describe(name), subject=subject)
    mine, theirs = _schema(wanted), _schema(live)
    if theirs is None:
        text = f"does not serve {VERSION}"
        return problem("versions.definitions", text, "this version speaks no other", *upgrade, subject=subject)
    if (path := missing(mine, theirs)) is not None:
        why = "fields that this version writes or reads are refused or dropped by the API server"
        text = f"is of another version of Umiak: {_short(path)} differs"
        return problem("versions.definitions", text, why, *upgrade, subject=subject)
    if (path := missing(theirs, mine)) is not None:
        why = "a newer version of Umiak was or is installed; this command does not know all of its fields"
        text = f"knows more than this command: {_short(path)}"
        return warning("versions.definitions", text, why, "use the command of the installed version", subject=subject)
    return None


def _stored(name: str, live: Obj | None) -> Iterator[Finding]:
    others = [version for version in status_of(live or {}).get("storedVersions") or () if version != VERSION]
    if others:
        yield warning(
            "versions.stored",
            f"resources may still be stored as {', '.join(others)}",
            f"an upgrade that stops serving these versions would be refused; everything should be stored as {VERSION}",
            f"kubectl get {name} -A -o yaml | kubectl replace -f -",
            subject=f"CustomResourceDefinition {name}",
        )


def _schema(body: Obj) -> Obj | None:
    """The schema of our version, if it is served."""
    for version in body["spec"]["versions"]:
        if version["name"] == VERSION and version.get("served"):
            found: Obj = version["schema"]["openAPIV3Schema"]
            return found
    return None


def _short(path: str) -> str:
    """A path without the words that every schema repeats."""
    return path.replace("properties.", "").replace(".items", "[]")


def _describe(name: str) -> str:
    return f"kubectl describe crd {name}"


def _installation(facts: Facts) -> Iterator[Finding]:
    body = facts.deployment("operator")
    installed = labels_of(body).get(_VERSION_LABEL) if body else None
    if installed is None:
        return
    if installed == facts.version:
        yield ok("versions.installation", f"installation and command are both version {installed}")
        return
    yield warning(
        "versions.installation",
        f"version {installed} is installed, this command is {facts.version}",
        "what the doctor knows of reasons and definitions is that of its own version",
        f"use version {installed} of the command, or upgrade: {facts.helm()}",
        subject=f"Deployment {facts.namespace}/umiak-operator",
    )
