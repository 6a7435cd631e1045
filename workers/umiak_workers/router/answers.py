"""What is written down of a frame: its final answer, and the example that is kept of a hard one."""

from umiak_workers.contract.messages import Answer, ExampleHeader, ModelRef, Reason
from umiak_workers.router.frames import CloudReply, Frame, Prediction


def final_answer(
    frame: Frame,
    prediction: Prediction,
    reason: Reason,
    rule: str,
    stages: dict[str, float],
    now: float,
    reply: CloudReply | None = None,
    sharp_area: float | None = None,
) -> Answer:
    """Revision 0 as of `now` (seconds since the epoch), by the cloud if there is a `reply`."""
    header = prediction.header
    return Answer(
        frame=frame.id,
        revision=0,
        task=header.task,
        answered_by="edge" if reply is None else "cloud",
        reason=reason,
        rule=rule,
        scores=header.scores,
        model=header.model,
        cloud_models=reply.header.models if reply else {},
        captured_at=frame.captured_at,
        answered_at=now,
        stages_milliseconds=stages,
        bytes_up=reply.bytes_up if reply else 0,
        bytes_down=reply.bytes_down if reply else 0,
        sharp_area=sharp_area,
    )


def example_header(frame: Frame, prediction: Prediction) -> ExampleHeader:
    """Of the whole photo."""
    return ExampleHeader(
        frame=frame.id,
        task=prediction.header.task,
        digest=frame.digest,
        size=len(frame.photo),
        media=frame.media,
        captured_at=frame.captured_at,
        model=ModelRef(line=prediction.header.line, digest=prediction.header.model),
    )
