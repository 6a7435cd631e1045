"""Every reason that a condition of Umiak can give, in plain words: what it means, and what to do.

`fine`: nothing to do. `passing`: fine for a while, worth a look when it stays. `away`: something is offline, which may
be normal. `wrong`: somebody has to do something.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Weight = Literal["fine", "passing", "away", "wrong"]
PATIENCE: Final = 600.0
"""Seconds for which a passing reason is fine."""
_HUB_LOGS: Final = "kubectl logs -n {system} deploy/umiak-hub --tail=30"
_OPERATOR_LOGS: Final = "kubectl logs -n {system} deploy/umiak-operator --tail=30"
_PODS: Final = "kubectl get pods -n {namespace} -l umiak.dev/owner-name={name} -o wide"
_DESCRIBE: Final = "kubectl describe {singular} {name} -n {namespace}"


@dataclass(frozen=True)
class Meaning:
    """`{namespace}`, `{name}`, `{singular}` and `{system}` (the installation's namespace) stand in `next`."""

    weight: Weight
    why: str
    next: tuple[str, ...] = ()


MEANINGS: Final[Mapping[str, Meaning]] = {
    # JointInference: Ready
    "Available": Meaning("fine", "edges and cloud are available"),
    "HostPathNotAllowed": Meaning(
        "wrong",
        "edges keep their state in folders of their nodes, and that is only for namespaces that say so",
        ("kubectl label namespace {namespace} umiak.dev/host-path=allowed",),
    ),
    "LineConflict": Meaning(
        "wrong",
        "two resources start one model line with different models; the older one is right",
        ("kubectl get ji -n {namespace} -o custom-columns=NAME:.metadata.name,LINE:.spec.edge.model.line,"
         "DIGEST:.spec.edge.model.digest", "name the same digest, or another line"),
    ),
    "LineNotStarted": Meaning(
        "wrong",
        "the hub could not take the initial model, so edges have nothing to answer with",
        ("check edge.model.uri and edge.model.digest: " + _DESCRIBE, _HUB_LOGS),
    ),
    "NoMatchingNodes": Meaning(
        "wrong",
        "no node carries the labels that the resource asks for; nodes are noticed as soon as they do",
        ("kubectl get nodes --show-labels", "kubectl label node NODE node-role.kubernetes.io/edge="),
    ),
    "TooFewNodes": Meaning(
        "wrong",
        "fewer nodes carry the labels than must be ready",
        ("kubectl get nodes --show-labels", "label more nodes, or lower edge.minReady"),
    ),
    "EdgesFailed": Meaning("wrong", "edge pods cannot be made or do not come up", (_PODS, _DESCRIBE)),
    "EdgesProgressing": Meaning("passing", "edge pods are starting; an offline edge counts as not available", (_PODS,)),
    "CloudFailed": Meaning("wrong", "the cloud worker cannot be made; hard frames are answered at the edge", (_PODS,)),
    "CloudProgressing": Meaning("passing", "the cloud worker is starting; until then the edge answers all", (_PODS,)),
    # all kinds
    "InvalidSpec": Meaning(
        "wrong",
        "the spec got past the schema and still cannot be carried out; what ran before goes on",
        ("correct the field that the message names: kubectl edit {singular} {name} -n {namespace}",),
    ),
    "ChildRefused": Meaning(
        "wrong",
        "the API server will not have one of its objects: quota, admission, rights, or the name is taken",
        ("the message is the server's own; rights: kubectl apply -f docs/reference/rbac.yaml", _OPERATOR_LOGS),
    ),
    "HubAnswered": Meaning("fine", "the hub's figures are fresh"),
    "HubUnreachable": Meaning(
        "away",
        "the operator does not reach the hub: what runs goes on, figures are the last ones",
        ("kubectl get deployment umiak-hub -n {system}", _HUB_LOGS),
    ),
    "HubRefused": Meaning(
        "wrong",
        "the hub does not take what the operator tells it, mostly because they do not share one key",
        (_HUB_LOGS, "kubectl rollout restart -n {system} deployment/umiak-operator deployment/umiak-hub"),
    ),
    # JointInference: EdgesReporting
    "AllReporting": Meaning("fine", "every edge has a fresh heartbeat"),
    "EdgesSilent": Meaning(
        "away",
        "these edges are offline or cannot reach the hub; they go on answering, and keep hard examples meanwhile",
        ("kubectl get nodes -l node-role.kubernetes.io/edge", _PODS),
    ),
    # LifelongLearning
    "Following": Meaning("fine", "rounds start when there are enough new hard examples"),
    "JointInferenceMissing": Meaning(
        "wrong",
        "it learns for a JointInference of its own namespace, and there is none of that name",
        ("kubectl get ji -n {namespace}", "correct jointInferenceRef.name"),
    ),
    "JointInferenceInvalid": Meaning(
        "wrong", "the JointInference that it learns for cannot be carried out", ("kubectl get ji -n {namespace}",)
    ),
    "TaskNotLearnt": Meaning(
        "wrong",
        "the JointInference that it learns for is of a task that training Jobs do not learn yet",
        ("point jointInferenceRef at a JointInference of task semantic-segmentation",),
    ),
    "RoundRunning": Meaning("fine", "a training Job runs"),
    "RoundStarting": Meaning("passing", "a round is about to start", (_OPERATOR_LOGS,)),
    "TooFewSamples": Meaning("fine", "a round starts once there are enough new hard examples"),
    "LineEmpty": Meaning(
        "passing", "no model to start from: the line has no head yet", ("kubectl get ji -n {namespace}",)
    ),
    "PatchPending": Meaning(
        "passing", "the last promotion is not the head yet; the signer signs it", ("kubectl get mp -n {namespace}",)
    ),
    "NoRoundYet": Meaning("fine", "no round has ended yet"),
    "WaitingForReport": Meaning("passing", "a training Job ended, its report is on its way to the hub", (_HUB_LOGS,)),
    "JobFailed": Meaning(
        "wrong",
        "a training Job failed before it could report: mostly its image, its memory, or the hub was away",
        ("kubectl logs -n {namespace} -l umiak.dev/owner-name={name},umiak.dev/component=trainer --tail=20",
         "more samples start another round by themselves"),
    ),
    "Promoted": Meaning("fine", "the last round's model was better and became a release"),
    "Refused": Meaning("fine", "the last round's model was not good enough, so nothing was released: as it should be"),
    "Failed": Meaning(
        "wrong",
        "the last round could not be carried out",
        ("kubectl logs -n {namespace} -l umiak.dev/owner-name={name},umiak.dev/component=trainer --tail=20",),
    ),
    # ModelPatch
    "EdgesUpdated": Meaning("fine", "every edge of the line runs the new model"),
    "HeadMoved": Meaning("fine", "the head has moved; no edge follows the line at the moment"),
    "RollingOut": Meaning("passing", "edges are taking the new model", (_DESCRIBE,)),
    "WaitingForEdges": Meaning(
        "away",
        "edges that have not got the new model are silent; they take it when they are back",
        ("kubectl get nodes -l node-role.kubernetes.io/edge",),
    ),
    "EdgesFailing": Meaning(
        "wrong",
        "edges tried the new model and went back to the one before, which goes on answering",
        ("kubectl logs -n {namespace} -l umiak.dev/component=edge -c agent --tail=20", _DESCRIBE),
    ),
    "Superseded": Meaning("fine", "a later release took its place"),
    "Conflict": Meaning(
        "wrong",
        "the head of the line is not the model that the patch starts from, so the head was not moved",
        ("kubectl get ji -n {namespace} -o wide", "make a ModelPatch whose `from` is the head"),
    ),
    "Published": Meaning("passing", "the release is signed, edges are being told", (_HUB_LOGS,)),
    "WaitingForHub": Meaning("passing", "the hub has not taken the release yet", (_HUB_LOGS,)),
    "WaitingForModel": Meaning(
        "passing", "the hub does not have the new model yet", ("umiak model push DIR",)
    ),
    "WaitingForLine": Meaning("passing", "another release of the line comes first", ("kubectl get mp -n {namespace}",)),
    "WaitingForSignature": Meaning(
        "passing", "the signer has not signed the release", ("kubectl logs -n {system} deploy/umiak-signer --tail=20",)
    ),
}  # fmt: skip
