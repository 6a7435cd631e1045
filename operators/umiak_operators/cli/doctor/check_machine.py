"""This machine: may `umiak up` run here, and how is the world that runs?"""

from collections.abc import Iterator
from typing import Final

from umiak_operators.cli.doctor.check_resources import standing
from umiak_operators.cli.doctor.facts import few, seconds_of, span
from umiak_operators.cli.doctor.finding import Finding, ok, problem, warning
from umiak_operators.cli.doctor.machine import Machine
from umiak_workers.contract.world import ContainerStatus, PodStatus, World

_OLDEST: Final = (3, 11)
_LITTLE: Final = 2 * 2**30
_RESTARTS: Final = 3


def check(machine: Machine) -> Iterator[Finding]:
    """Python, packages, broker, disk, world."""
    yield from _python(machine)
    yield from _packages(machine)
    yield _broker(machine)
    yield _disk(machine)
    yield from _world(machine)


def _python(machine: Machine) -> Iterator[Finding]:
    text = f"Python {machine.python[0]}.{machine.python[1]}, umiak {machine.version}"
    if machine.python >= _OLDEST:
        yield ok("machine.python", text)
    else:
        why = f"Umiak needs Python {_OLDEST[0]}.{_OLDEST[1]} or newer"
        yield problem("machine.python", text, why, "make setup-run   (with a newer python3 on PATH)")


def _packages(machine: Machine) -> Iterator[Finding]:
    for extra, modules in machine.missing.items():
        yield warning(
            "machine.packages",
            f"{few(list(modules), 5)} not installed",
            f"the roles of the extra `{extra}` cannot run here; umiak up needs all of them",
            f"pip install 'umiak[{extra}]'",
        )
    if not machine.missing:
        yield ok("machine.packages", "packages of every role are installed")


def _broker(machine: Machine) -> Finding:
    if machine.mosquitto:
        return ok("machine.broker", f"mosquitto: {machine.mosquitto}")
    if machine.amqtt:
        return ok("machine.broker", "no mosquitto; umiak up uses the embedded amqtt")
    why = "umiak up needs a broker, mosquitto or the embedded amqtt"
    return problem("machine.broker", "no broker", why, "apt-get install mosquitto", "or: pip install 'umiak[local]'")


def _disk(machine: Machine) -> Finding:
    text = f"{machine.free_bytes / 2**30:.1f} GiB free at {machine.folder}"
    if machine.free_bytes >= _LITTLE:
        return ok("machine.disk", text)
    why = "models, hard examples and logs need room; what is full refuses to store"
    return warning("machine.disk", text, why, f"df -h {machine.folder}")


def _world(machine: Machine) -> Iterator[Finding]:
    world = machine.world
    if machine.fault:
        why = "umiak infer and the demo cannot find the world"
        yield problem("machine.world", f"{machine.state}: {machine.fault}", why, "umiak up FILE... --state DIR")
    elif world is None:
        yield ok("machine.world", "no local world runs; umiak up FILE... starts one")
    elif not machine.alive:
        where = f"umiak up FILE... --state {machine.state}"
        yield warning("machine.world", f"the world at {machine.state} has ended", "nothing answers there", where)
    else:
        age = span(max(0.0, machine.now - world.at))
        text = f"the world at {machine.state} runs: {len(world.pods)} pods, broker {world.broker}, seen {age} ago"
        yield ok("machine.world", text)
        yield from _pods(machine, world)
        yield from _resources(machine, world)


def _pods(machine: Machine, world: World) -> Iterator[Finding]:
    for pod in world.pods:
        for container in pod.containers:
            found = _container(machine, pod, container)
            if found is not None:
                yield found


def _container(machine: Machine, pod: PodStatus, container: ContainerStatus) -> Finding | None:
    subject, logs = f"Container {pod.name}/{container.name}", f"ls {machine.state}/logs"
    said = f": {container.message}" if container.message else ""
    finished = pod.component == "trainer" and container.pid is None
    if not container.ready and not finished:
        state = "not ready" if container.pid else "not running"
        why = "what it does is not done at the moment"
        return problem("machine.container", f"{state}, {container.restarts} restarts{said}", why, logs, subject=subject)
    if container.restarts >= _RESTARTS:
        text = f"runs, after {container.restarts} restarts{said}"
        return warning("machine.container", text, "it ends again and again", logs, subject=subject)
    return None


def _resources(machine: Machine, world: World) -> Iterator[Finding]:
    def age(stamp: str | None) -> float | None:
        when = seconds_of(stamp)
        return None if when is None else machine.now - when

    for resource in world.resources:
        metadata = {"name": resource.name, "namespace": resource.namespace, "generation": resource.generation}
        for finding in standing({"kind": resource.kind, "metadata": metadata, "status": resource.status}, age, ""):
            next_ = (f"ls {machine.state}/logs",) if finding.next else ()
            yield finding.model_copy(update={"next": next_})
