"""What a LifelongLearning asks for: at most one training Job at a time, and the ModelPatch of what got better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from umiak_operators.api import joint_inference
from umiak_operators.api.conditions import Condition, set_conditions, timestamp
from umiak_operators.api.lifelong_learning import LifelongLearning, parse
from umiak_operators.api.resource import Resource
from umiak_operators.api.spec import InvalidSpec
from umiak_operators.plan import promotions, triggers
from umiak_operators.plan.model import Child, Observed, Plan
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.owner import owner_of
from umiak_operators.plan.rounds import Lesson, Round, job_name, job_objects, round_of
from umiak_operators.plan.standing import fleet_observed
from umiak_workers.contract.fleet import FleetSpec
from umiak_workers.contract.messages import RoundReport

TASKS: Final = ("semantic-segmentation",)
"""What a training Job can learn."""


@dataclass(frozen=True)
class Course:
    """Everything that is decided about one LifelongLearning at this moment."""

    resource: Resource
    seen: Observed
    problem: Condition | None
    """Why no round can run at all: `Ready=False`."""
    moment: triggers.Moment
    jobs: tuple[tuple[Child, Round], ...]
    """Jobs as seen, the lowest watermark first."""


def desired(resource: Resource, seen: Observed, now: float) -> Plan:
    """The plan of a LifelongLearning; raises InvalidSpec."""
    spec = parse(resource)
    line = _line(resource, spec, seen)
    course = _course(resource, spec, seen, line if isinstance(line, Condition) else None)
    children: list[Obj] = []
    if isinstance(line, str):
        lesson = Lesson(resource, spec, line, seen.platform)
        this = _current(lesson, course)
        children = (job_objects(lesson, this) if this else []) + promotions.patch_objects(lesson, seen)
    fleet = FleetSpec(owner=owner_of(resource), replay_of=spec.joint_inference_ref.name)
    return Plan(tuple(children), fleet, _status(course, now))


def _line(resource: Resource, spec: LifelongLearning, seen: Observed) -> str | Condition:
    """The line of the JointInference that is learnt for, or what is wrong with it."""
    wanted = spec.joint_inference_ref.name
    for other in seen.related:
        if other.key.kind == "JointInference" and other.key.name == wanted and not other.deleting:
            try:
                found = joint_inference.parse(other)
                if found.task not in TASKS:
                    text = f"JointInference {wanted} is of {found.task}; only {', '.join(TASKS)} is learnt so far"
                    return Condition("Ready", "False", "TaskNotLearnt", text)
                return f"{other.key.namespace}/{found.edge.model.line}"
            except InvalidSpec as error:
                return Condition("Ready", "False", "JointInferenceInvalid", f"JointInference {wanted}: {error}")
    text = f"there is no JointInference {wanted} in namespace {resource.key.namespace}"
    return Condition("Ready", "False", "JointInferenceMissing", text)


def _course(resource: Resource, spec: LifelongLearning, seen: Observed, problem: Condition | None) -> Course:
    jobs = [(child, found) for child in seen.children if child.kind == "Job" and (found := round_of(child))]
    jobs.sort(key=lambda job: (job[1].watermark, job[0].name))
    reports = seen.fleet.rounds if seen.fleet else ()
    moment = triggers.Moment(
        fleet=seen.fleet,
        wanted=spec.trigger.samples,
        seen_up_to=max((*(job[1].watermark for job in jobs), *(report.watermark for report in reports)), default=0),
        running=next((child.name for child, _ in jobs if child.readiness == "Progressing"), None),
        landing=promotions.landing(resource, seen),
    )
    return Course(resource, seen, problem, moment, tuple(jobs))


def _current(lesson: Lesson, course: Course) -> Round | None:
    """The one round whose Job is listed: the one that runs, else the next one, else the last one."""
    running = [found for child, found in course.jobs if child.readiness == "Progressing"]
    if running:
        return running[0]
    following = triggers.should_train(course.moment)
    if following is not None:
        return following
    kept = [found for child, found in course.jobs if child.name == job_name(lesson, found)]
    return kept[-1] if kept else None


def _status(course: Course, now: float) -> Mapping[str, Any]:
    resource, moment = course.resource, course.moment
    conditions = (_ready(course), _training(course), _round_succeeded(course), fleet_observed(course.seen.fleet))
    known = resource.status.get("conditions") or ()
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "conditions": set_conditions(known, conditions, resource.generation, now),
    }
    if moment.fleet is not None:
        summary = f"{moment.new}/{moment.wanted}"
        status["samples"] = {"new": moment.new, "watermark": moment.watermark, "summary": summary}
    elif "samples" in resource.status:
        status["samples"] = resource.status["samples"]
    if (report := _last_report(course)) is not None:
        status["lastRound"] = _round_figures(report)
    elif "lastRound" in resource.status:
        status["lastRound"] = resource.status["lastRound"]
    return status


def _ready(course: Course) -> Condition:
    if course.problem is not None:
        return course.problem
    return Condition("Ready", "True", "Following", "rounds start when there are enough new hard examples")


def _training(course: Course) -> Condition:
    if course.moment.running is not None:
        return Condition("Training", "True", "RoundRunning", f"Job {course.moment.running}")
    if course.problem is not None:
        return Condition("Training", "False", course.problem.reason, course.problem.message)
    waiting = triggers.why_wait(course.moment)
    if waiting is None:
        return Condition("Training", "True", "RoundStarting", "there are enough new samples")
    return Condition("Training", "False", waiting.reason, waiting.message)


def _round_succeeded(course: Course) -> Condition:
    """How the newest finished round ended; a report says more than its Job."""
    report, job = _last_report(course), _last_finished(course)
    if job is not None and (report is None or report.round != job[0].name) and _newer(job[1], report):
        return _without_report(job[0])
    if report is None:
        return _verdict_of_before(course.resource.status.get("lastRound") or {})
    return _verdict(report.outcome, report.reason, report.message)


def _verdict_of_before(figures: Mapping[str, Any]) -> Condition:
    """What the status remembers of the last round; an incomplete record tells nothing."""
    if not {"outcome", "reason", "message"} <= figures.keys():
        return Condition("RoundSucceeded", "Unknown", "NoRoundYet", "")
    return _verdict(figures["outcome"], figures["reason"], figures["message"])


def _without_report(job: Child) -> Condition:
    if job.readiness == "Failed":
        text = f"Job {job.name} failed without a report: {job.message or 'see its log'}; more samples start another"
        return Condition("RoundSucceeded", "False", "JobFailed", text)
    return Condition(
        "RoundSucceeded", "Unknown", "WaitingForReport", f"Job {job.name} ended, the hub has no report yet"
    )


def _verdict(outcome: str, reason: str, message: str) -> Condition:
    return Condition("RoundSucceeded", "False" if outcome == "Failed" else "True", outcome, f"{reason}: {message}")


def _newer(job: Round, report: RoundReport | None) -> bool:
    return report is None or job.watermark > report.watermark


def _last_finished(course: Course) -> tuple[Child, Round] | None:
    finished = [job for job in course.jobs if job[0].readiness != "Progressing"]
    return finished[-1] if finished else None


def _last_report(course: Course) -> RoundReport | None:
    reports = course.seen.fleet.rounds if course.seen.fleet else ()
    return max(reports, key=lambda report: (report.watermark, report.finished_at), default=None)


def _round_figures(report: RoundReport) -> Mapping[str, Any]:
    figures: dict[str, Any] = {
        "name": report.round,
        "outcome": report.outcome,
        "reason": report.reason,
        "message": report.message,
        "base": report.base,
        "watermark": report.watermark,
        "samples": report.samples,
        "finishedAt": timestamp(report.finished_at),
        "metrics": dict(report.metrics),
    }
    return {**figures, "candidate": report.candidate} if report.candidate else figures
