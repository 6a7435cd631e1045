"""What `umiak up` tells a person: news between two pictures, and the live table."""

from rich.console import Console

from umiak_operators.cli.up_news import news, verdict
from umiak_operators.cli.up_table import picture, short
from umiak_workers.contract.world import ContainerStatus, PodStatus, ResourceStatus, World


def world(*containers: ContainerStatus, status: dict[str, object] | None = None) -> World:
    pod = PodStatus(
        name="yard.gate", component="edge", edge="edge-1", owner="JointInference/yard/gate", containers=containers
    )
    resource = ResourceStatus(kind="JointInference", namespace="yard", name="gate", status=status or {})
    return World(at=0, pid=1, pods=(pod,) if containers else (), resources=(resource,))


STARTED = ContainerStatus(name="edge", pid=7)
READY = ContainerStatus(name="edge", pid=7, ready=True, address="http://127.0.0.1:1")
DOWN = ContainerStatus(name="edge", restarts=1, message="exit status 2: config.json: line: missing")
GOOD = {"conditions": [{"type": "Ready", "status": "True", "reason": "AllReady", "message": ""}]}
BAD = {"conditions": [{"type": "Ready", "status": "False", "reason": "InvalidSpec", "message": "spec.edge: missing"}]}


def test_every_step_of_a_container_is_one_line() -> None:
    assert news(None, world(STARTED))[0] == "yard.gate/edge started, pid 7"
    assert news(world(STARTED), world(READY)) == ["yard.gate/edge ready, pid 7, http://127.0.0.1:1"]
    assert news(world(READY), world(READY)) == []
    assert news(world(READY), world(DOWN)) == ["yard.gate/edge exit status 2: config.json: line: missing"]
    assert news(world(READY), world(STARTED)) == ["yard.gate/edge no longer ready"]
    assert news(world(READY), world()) == ["yard.gate has ended"]


def test_a_restart_between_two_pictures_is_not_missed() -> None:
    again = READY.model_copy(update={"pid": 8, "restarts": 1})
    assert news(world(READY), world(again)) == ["yard.gate/edge ended and was started again (restart 1)"]


def test_a_resource_speaks_through_its_main_condition() -> None:
    assert news(world(status=BAD), world(status=GOOD)) == ["JointInference/yard/gate Ready=True AllReady"]
    assert verdict(world(status=BAD).resources[0]) == "Ready=False InvalidSpec: spec.edge: missing"
    assert news(world(status=GOOD), World(at=0, pid=1)) == ["JointInference/yard/gate removed"]


def test_the_table_shows_condition_pods_restarts_and_models() -> None:
    console = Console(width=200, record=True)
    again = READY.model_copy(update={"restarts": 3})
    digest = "sha256:" + "ab" * 32
    models = {"JointInference/yard/gate": short([digest, None, digest])}
    console.print(picture(world(again, STARTED, status=GOOD), models, "umiak up"))
    said = console.export_text()
    for part in ("Ready=True AllReady", "0/1", "abababababab", "edge ready edge starting"):
        assert part in said
    assert "3" in said
