"""What may change without a restart: the numbers of the rules and the deadline.

They travel to the router through the hub. Its config holds them as well, for a start without the hub, but they stay
out of the template's hash. Which miners there are, and which kind of number each takes, is not live.
"""

from collections.abc import Mapping
from typing import Any

from umiak_operators.api.joint_inference import JointInference
from umiak_workers.contract.config import MinerRule, RouterConfig
from umiak_workers.contract.messages import LiveRule, LiveSettings


def rules(spec: JointInference) -> tuple[MinerRule, ...]:
    """The chain as the router reads it."""
    return tuple(MinerRule.model_validate(rule.model_dump()) for rule in spec.hard_examples.miners)


def settings(spec: JointInference, generation: int) -> LiveSettings:
    """What the hub passes on; the generation is the version."""
    miners = spec.hard_examples.miners
    first = next((rule for rule in miners if rule.threshold is not None or rule.budget is not None), None)
    return LiveSettings(
        settings_version=generation,
        threshold=first.threshold if first else None,
        budget=first.budget if first else None,
        rules=tuple(LiveRule.model_validate(rule.model_dump()) for rule in rules(spec)),
        deadline_milliseconds=spec.deadline_milliseconds,
    )


def settled(config: RouterConfig) -> Mapping[str, Any]:
    """The config without what is live."""
    found = config.model_dump(mode="json", exclude={"deadline_milliseconds"})
    found["rules"] = [[rule.miner, rule.kind] for rule in config.rules]
    return found
