"""The cloud's regions and the edge's answer become one, by what the task says. Runs off the event loop."""

from umiak_workers.adapters.answer_log import Payloads
from umiak_workers.contract.errors import MessageError
from umiak_workers.contract.messages import Task
from umiak_workers.core.tasks import kind_of
from umiak_workers.core.tasks.kind import Opinion
from umiak_workers.router.frames import CloudReply


def merged(task: Task, edge: bytes, reply: CloudReply) -> Payloads:
    """The payloads of an answer by the cloud; raises MessageError or InvalidPrediction for what does not fit."""
    if reply.header.task != task:
        raise MessageError(f"the cloud answered {reply.header.task} where {task} was asked")
    said = zip(reply.header.regions, reply.regions, strict=True)
    fused = kind_of(task).fuse(edge, [Opinion(region.box, payload, region.confidence) for region, payload in said])
    return Payloads(fused.final, edge, fused.cloud)
