"""Rounds of lifelong learning, derived from what is seen and never remembered: Jobs carry their base and watermark.

A Job's template cannot change, so a Job stays listed only while the spec still renders it under the same name: a
running one whose settings changed is replaced, a finished one is dropped (its report is in the hub).
"""

from dataclasses import dataclass
from typing import Final

from umiak_operators.api.lifelong_learning import LifelongLearning
from umiak_operators.api.resource import Resource
from umiak_operators.plan import addresses, names, objects
from umiak_operators.plan.cloud import keep_off_edges
from umiak_operators.plan.model import Child, Platform
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.pods import Part, Pod, needs
from umiak_workers.contract.config import FitConfig, Promotion, TrainerConfig
from umiak_workers.contract.identity import Principal

_NEEDS: Final = needs("500m", "1Gi", "4Gi")
_RETRIES: Final = 2
_SPARE_SECONDS: Final = 1800
"""Download, evaluation and upload around the training itself."""
_UNNAMED: Final = "unnamed"


@dataclass(frozen=True)
class Round:
    """One round: from which head, over samples up to which position."""

    base: str
    watermark: int


@dataclass(frozen=True)
class Lesson:
    """What all rounds of one LifelongLearning have in common."""

    resource: Resource
    spec: LifelongLearning
    line: str
    """`<namespace>/<line>` of the JointInference."""
    platform: Platform


def round_of(child: Child) -> Round | None:
    """The round that a Job is; None if its annotations do not say."""
    base, watermark = child.annotations.get(names.BASE_DIGEST), child.annotations.get(names.WATERMARK, "")
    return Round(base, int(watermark)) if base and watermark.isdecimal() else None


def job_name(lesson: Lesson, this: Round) -> str:
    """Name of a round's Job and Secret: it holds the hash of everything that the Job is made of."""
    template, retries, seconds = _template(lesson, this, _UNNAMED, {}), _RETRIES, _seconds(lesson)
    return names.training_job(lesson.resource.key.name, names.short_hash([template, retries, seconds]))


def job_objects(lesson: Lesson, this: Round) -> list[Obj]:
    """Secret and Job of a round."""
    name, namespace = job_name(lesson, this), lesson.resource.key.namespace
    own = objects.labels(objects.owner_labels("LifelongLearning", lesson.resource.key.name), "trainer")
    notes = {names.BASE_DIGEST: this.base, names.WATERMARK: str(this.watermark)}
    pod = _pod(lesson, this, name, own)
    template = _template(lesson, this, name, own)
    return [
        *pod.secrets(namespace, lesson.platform.operator_key),
        objects.job(objects.meta(name, namespace, own, notes), template, _RETRIES, _seconds(lesson)),
    ]


def _template(lesson: Lesson, this: Round, name: str, own: dict[str, str]) -> Obj:
    template = _pod(lesson, this, name, own).template()
    template["spec"]["restartPolicy"] = "Never"
    keep_off_edges(template["spec"])
    return template


def _pod(lesson: Lesson, this: Round, name: str, own: dict[str, str]) -> Pod:
    known = addresses.of_trainer(lesson.platform)
    trusted = addresses.authorities(lesson.platform, known)
    return Pod(name, own, (_part(lesson, this, name),), known, {"emptyDir": {}}, authorities=trusted)


def _part(lesson: Lesson, this: Round, name: str) -> Part:
    key, spec = lesson.resource.key, lesson.spec
    config = TrainerConfig(
        namespace=key.namespace,
        resource=key.name,
        joint_inference=spec.joint_inference_ref.name,
        round=name,
        line=lesson.line,
        base=this.base,
        watermark=this.watermark,
        base_data=spec.base_data.uri,
        fit=FitConfig(**spec.fit.model_dump()),
        promotion=Promotion(**spec.promotion.model_dump()),
    )
    image, principal = lesson.platform.images["trainer"], Principal(key.namespace, key.name, "-", "trainer")
    return Part("trainer", image, config, principal, _NEEDS, probed=False)


def _seconds(lesson: Lesson) -> int:
    return lesson.spec.fit.seconds * (_RETRIES + 1) + _SPARE_SECONDS
