"""Rounds follow from what is seen: one Job at a time, no round twice, and a patch for what was promoted."""

from dataclasses import replace
from typing import Any

import pytest

from umiak_operators.plan import names
from umiak_operators.plan.desired import desired
from umiak_operators.plan.model import Child, Observed
from umiak_operators.plan.triggers import Moment, should_train, why_wait
from umiak_workers.contract.config import TrainerConfig, parse_config

NOW = 1e9


def seen(world: Any, fleet: Any, *children: Child, **parts: Any) -> Observed:
    found: Observed = world.seen(children=children, fleet=fleet, **{"related": (world.joint(),), **parts})
    return found


def of_kind(plan: Any, kind: str) -> list[Any]:
    return [item for item in plan.children if item["kind"] == kind]


def as_child(body: Any, readiness: Any, message: str = "") -> Child:
    """A child as a runtime would see it after applying `body`."""
    meta = body["metadata"]
    return Child(body["kind"], meta["name"], "uid", readiness, message, meta.get("annotations", {}))


def first_round(world: Any, watermark: int = 120, **spec: Any) -> Any:
    (job,) = of_kind(desired(world.learning(**spec), seen(world, world.learning_view(1, watermark)), NOW), "Job")
    return job


def moment(world: Any, **parts: Any) -> Moment:
    usual = Moment(world.learning_view(1, 120), wanted=100, seen_up_to=0, running=None, landing=None)
    return replace(usual, **parts)


def test_enough_samples_start_a_round(world: Any) -> None:
    assert why_wait(moment(world)) is None
    found = should_train(moment(world))
    assert found is not None
    assert (found.base, found.watermark) == (world.digest(1), 120)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"running": "job"}, "RoundRunning"),
        ({"fleet": None}, "HubUnreachable"),
        ({"landing": "patch"}, "PatchPending"),
        ({"seen_up_to": 21}, "TooFewSamples"),
        ({"seen_up_to": 500}, "TooFewSamples"),
    ],
)
def test_each_reason_to_wait(world: Any, parts: dict[str, Any], reason: str) -> None:
    waiting = why_wait(moment(world, **parts))
    assert waiting is not None
    assert waiting.reason == reason
    assert should_train(moment(world, **parts)) is None


def test_an_empty_line_waits(world: Any) -> None:
    waiting = why_wait(moment(world, fleet=world.learning_view(None, 120)))
    assert waiting is not None
    assert waiting.reason == "LineEmpty"


def test_a_round_is_a_job_that_knows_its_base_and_watermark(world: Any, pick: Any, files: Any) -> None:
    plan = desired(world.learning(), seen(world, world.learning_view(1, 120)), NOW)
    (job,) = of_kind(plan, "Job")
    name = job["metadata"]["name"]
    assert name.startswith("learn-round-")
    assert job["metadata"]["annotations"] == {names.BASE_DIGEST: world.digest(1), names.WATERMARK: "120"}
    config = parse_config(TrainerConfig, files(pick(plan, "Secret", name))["trainer.json"], "trainer")
    assert (config.round, config.base, config.watermark) == (name, world.digest(1), 120)
    assert (config.line, config.joint_inference, config.base_data) == ("site/scene", "yard", "yard:day")
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert len(f"{name}-12345") <= 63


def test_two_rounds_have_two_names(world: Any) -> None:
    assert first_round(world, 120)["metadata"]["name"] != first_round(world, 121)["metadata"]["name"]
    other = seen(world, world.learning_view(2, 120))
    (moved,) = of_kind(desired(world.learning(), other, NOW), "Job")
    assert moved["metadata"]["name"] != first_round(world, 120)["metadata"]["name"]


def test_the_running_job_stays_as_it_is_while_samples_and_head_move(world: Any) -> None:
    job = first_round(world)
    for fleet in (world.learning_view(1, 900), world.learning_view(3, 120), None):
        plan = desired(world.learning(), seen(world, fleet, as_child(job, "Progressing")), NOW)
        assert of_kind(plan, "Job") == [job]


def test_the_earlier_of_two_running_jobs_is_kept(world: Any) -> None:
    one, two = first_round(world, 120), first_round(world, 130)
    children = (as_child(two, "Progressing"), as_child(one, "Progressing"))
    plan = desired(world.learning(), seen(world, world.learning_view(1, 130), *children), NOW)
    assert of_kind(plan, "Job") == [one]


@pytest.mark.parametrize("readiness", ["Succeeded", "Failed"])
def test_the_last_job_stays_until_the_next_round(world: Any, condition: Any, readiness: str) -> None:
    job = first_round(world, 120)
    ended = as_child(job, readiness, "BackoffLimitExceeded")
    waiting = desired(world.learning(), seen(world, world.learning_view(1, 219), ended), NOW)
    assert of_kind(waiting, "Job") == [job]
    assert condition(waiting, "Training") == ("False", "TooFewSamples")
    following = desired(world.learning(), seen(world, world.learning_view(1, 220), ended), NOW)
    (later,) = of_kind(following, "Job")
    assert later["metadata"]["annotations"][names.WATERMARK] == "220"


def test_a_finished_job_is_not_run_again_by_new_settings(world: Any) -> None:
    ended = as_child(first_round(world), "Succeeded")
    plan = desired(world.learning(fit={"epochs": 3}), seen(world, world.learning_view(1, 130), ended), NOW)
    assert of_kind(plan, "Job") == []


def test_a_running_job_follows_new_settings(world: Any) -> None:
    running = as_child(first_round(world), "Progressing")
    plan = desired(world.learning(fit={"epochs": 3}), seen(world, world.learning_view(1, 130), running), NOW)
    assert of_kind(plan, "Job") == [first_round(world, 120, fit={"epochs": 3})]


def test_a_report_alone_keeps_a_round_from_running_twice(world: Any) -> None:
    fleet = world.learning_view(1, 199, world.report("Refused", 1, 100))
    assert of_kind(desired(world.learning(), seen(world, fleet), NOW), "Job") == []
    fleet = world.learning_view(1, 200, world.report("Refused", 1, 100))
    assert len(of_kind(desired(world.learning(), seen(world, fleet), NOW), "Job")) == 1


def test_a_job_that_failed_without_a_report_says_so(world: Any, condition: Any) -> None:
    failed = as_child(first_round(world, 120), "Failed", "BackoffLimitExceeded")
    plan = desired(world.learning(), seen(world, world.learning_view(1, 130), failed), NOW)
    assert condition(plan, "RoundSucceeded") == ("False", "JobFailed")
    (found,) = [item for item in plan.status["conditions"] if item["type"] == "RoundSucceeded"]
    assert "BackoffLimitExceeded" in found["message"]


def test_a_promotion_becomes_a_patch_and_the_next_round_waits_for_it(world: Any, condition: Any) -> None:
    fleet = world.learning_view(1, 500, world.report("Promoted", 1, 120, candidate=2))
    plan = desired(world.learning(), seen(world, fleet), NOW)
    (patch,) = of_kind(plan, "ModelPatch")
    assert patch["spec"] == {"model": {"line": "scene", "from": world.digest(1), "to": world.digest(2)}}
    assert of_kind(plan, "Job") == []
    assert condition(plan, "Training") == ("False", "PatchPending")
    assert condition(plan, "RoundSucceeded") == ("True", "Promoted")


def test_the_patch_stays_after_the_head_moved_and_training_goes_on(world: Any) -> None:
    report = world.report("Promoted", 1, 120, candidate=2)
    (patch,) = of_kind(desired(world.learning(), seen(world, world.learning_view(1, 120, report)), NOW), "ModelPatch")
    there = as_child(patch, "Succeeded")
    plan = desired(world.learning(), seen(world, world.learning_view(2, 500, report), there), NOW)
    assert of_kind(plan, "ModelPatch") == [patch]
    (job,) = of_kind(plan, "Job")
    assert job["metadata"]["annotations"][names.BASE_DIGEST] == world.digest(2)


def test_no_patch_is_made_for_a_head_that_has_moved_on(world: Any) -> None:
    fleet = world.learning_view(3, 120, world.report("Promoted", 1, 120, candidate=2))
    assert of_kind(desired(world.learning(), seen(world, fleet), NOW), "ModelPatch") == []


def test_a_patch_that_was_given_up_does_not_hold_up_training(world: Any) -> None:
    report = world.report("Promoted", 1, 120, candidate=2)
    (patch,) = of_kind(desired(world.learning(), seen(world, world.learning_view(1, 120, report)), NOW), "ModelPatch")
    status = {"conditions": [{"type": "Succeeded", "status": "False", "reason": "Conflict"}]}
    given_up = replace(world.patch(status), key=replace(world.patch().key, name=patch["metadata"]["name"]))
    around = seen(
        world, world.learning_view(1, 500, report), as_child(patch, "Failed"), related=(world.joint(), given_up)
    )
    assert len(of_kind(desired(world.learning(), around, NOW), "Job")) == 1


def test_the_latest_promotion_takes_the_place_of_the_one_before(world: Any) -> None:
    reports = (
        world.report("Promoted", 1, 120, candidate=2),
        world.report("Promoted", 2, 240, candidate=3),
        world.report("Refused", 2, 360),
    )
    plan = desired(world.learning(), seen(world, world.learning_view(2, 360, *reports)), NOW)
    (patch,) = of_kind(plan, "ModelPatch")
    assert patch["spec"]["model"]["to"] == world.digest(3)


@pytest.mark.parametrize("fleet_known", [True, False])
def test_a_patch_survives_a_hub_that_is_away_or_has_forgotten(world: Any, fleet_known: bool) -> None:
    report = world.report("Promoted", 1, 120, candidate=2)
    (patch,) = of_kind(desired(world.learning(), seen(world, world.learning_view(1, 120, report)), NOW), "ModelPatch")
    fleet = world.learning_view(2, 120) if fleet_known else None
    plan = desired(world.learning(), seen(world, fleet, as_child(patch, "Succeeded")), NOW)
    assert of_kind(plan, "ModelPatch") == [patch]


@pytest.mark.parametrize(("related", "reason"), [(False, "JointInferenceMissing"), (True, "JointInferenceInvalid")])
def test_without_a_usable_joint_inference_nothing_runs(world: Any, condition: Any, related: bool, reason: str) -> None:
    broken = (replace(world.joint(), spec={}),) if related else ()
    plan = desired(world.learning(), seen(world, world.learning_view(1, 500), related=broken), NOW)
    assert plan.children == ()
    assert condition(plan, "Ready") == ("False", reason)


@pytest.mark.parametrize("task", ["image-classification", "object-detection", "keypoint-detection"])
def test_a_task_that_nobody_learns_is_said(world: Any, condition: Any, task: str) -> None:
    joint = world.joint()
    cloud = {"labeller": joint.spec["cloud"].get("labeller") or joint.spec["cloud"]["sam"]}
    classes = replace(joint, spec={**joint.spec, "task": task, "cloud": cloud})
    plan = desired(world.learning(), seen(world, world.learning_view(1, 500), related=(classes,)), NOW)
    assert plan.children == ()
    assert condition(plan, "Ready") == ("False", "TaskNotLearnt")


def test_status_shows_progress_and_outlives_the_hub(world: Any, condition: Any) -> None:
    fleet = world.learning_view(1, 150, world.report("Refused", 1, 120, name="learn-round-1"))
    plan = desired(world.learning(), seen(world, fleet), NOW)
    assert plan.status["samples"] == {"new": 30, "watermark": 150, "summary": "30/100"}
    assert plan.status["lastRound"]["outcome"] == "Refused"
    assert plan.status["lastRound"]["metrics"] == {"gain": 0.1}
    assert condition(plan, "Ready") == ("True", "Following")
    later = desired(replace(world.learning(), status=plan.status), seen(world, None), NOW + 5)
    assert later.status["samples"] == plan.status["samples"]
    assert later.status["lastRound"] == plan.status["lastRound"]
    assert condition(later, "RoundSucceeded") == ("True", "Refused")
    assert condition(later, "FleetObserved") == ("Unknown", "HubUnreachable")


@pytest.mark.parametrize("before", [None, {}, {"outcome": "Refused"}, {"outcome": "Refused", "reason": "NoGain"}])
def test_an_incomplete_record_of_the_last_round_is_no_round(world: Any, condition: Any, before: Any) -> None:
    resource = replace(world.learning(), status={"lastRound": before})
    assert condition(desired(resource, seen(world, None), NOW), "RoundSucceeded") == ("Unknown", "NoRoundYet")


def test_addresses_and_keys_start_no_new_round(world: Any) -> None:
    elsewhere = replace(
        world.platform, endpoints={}, inside={"umiak://hub": "http://elsewhere"}, operator_key=b"k" * 16
    )
    job = first_round(world)
    running = as_child(job, "Progressing")
    plan = desired(world.learning(), seen(world, None, running, platform=elsewhere), NOW)
    assert of_kind(plan, "Job") == [job]


def test_a_whole_life(world: Any) -> None:
    """Samples arrive, two rounds run, one is refused, one promoted; at every step a second look changes nothing."""
    head, reports, children, started = 1, (), (), []
    for watermark in range(0, 500, 20):
        for _ in range(2):
            around = seen(world, world.learning_view(head, watermark, *reports), *children)
            plan = desired(world.learning(), around, NOW + watermark)
            bodies = [body for body in plan.children if body["kind"] in ("Job", "ModelPatch")]
            known = {child.name: child.readiness for child in children}
            children = tuple(as_child(body, known.get(body["metadata"]["name"], "Progressing")) for body in bodies)
        for child in children:
            if child.kind == "Job" and child.readiness == "Progressing":
                started.append(int(child.annotations[names.WATERMARK]))
                outcome, candidate = ("Promoted", 7) if len(started) == 2 else ("Refused", None)
                reports = (*reports, world.report(outcome, head, started[-1], candidate, child.name))
            if child.kind == "ModelPatch":
                head = 7
        children = tuple(replace(child, readiness="Succeeded") for child in children)
    assert started == [100, 200, 300, 400]
    assert head == 7
    assert [child.kind for child in children] == ["Job", "ModelPatch"]
