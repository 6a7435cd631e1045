"""A training run on disk, to go on after a break: tensors as safetensors, facts as JSON, replaced atomically."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from umiak_workers.contract.errors import ConfigError

TENSORS = "checkpoint.safetensors"
FACTS = "facts"


def settled(config: Mapping[str, object]) -> dict[str, object]:
    """What of a training config a run must keep to be resumed: all but how long it takes and where it is saved."""
    return {name: value for name, value in config.items() if name not in ("checkpoint", "minutes", "epochs")}


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
    identity: dict[str, object],
) -> None:
    """Write network, optimizer moments and position; `identity` is what a resumed run must agree on."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"network/{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer/{number}/{name}": value.contiguous() for name, value in state.items()})
    facts = json.dumps({"step": step, "seconds": seconds, "identity": identity}, sort_keys=True)
    draft = folder / f".{TENSORS}.tmp"
    save_file(tensors, draft, metadata={FACTS: facts})
    with open(draft, "rb") as file:
        os.fsync(file.fileno())
    draft.replace(folder / TENSORS)


def load_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, identity: dict[str, object]
) -> tuple[int, float]:
    """(step, seconds) of the run to go on with, its tensors loaded; (0, 0) where there is none yet.

    Raises ConfigError if the checkpoint is unreadable or belongs to another run.
    """
    path = folder / TENSORS
    if not path.is_file():
        return 0, 0.0
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
        tensors = load_file(path)
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable checkpoint ({error})") from error
    if facts["identity"] != json.loads(json.dumps(identity)):
        raise ConfigError(f"{path}: belongs to a run with other settings; give the same ones or another folder")
    network.load_state_dict(_part(tensors, "network/"))
    optimizer.load_state_dict(
        {"state": _moments(tensors), "param_groups": optimizer.state_dict()["param_groups"]},
    )
    return int(facts["step"]), float(facts["seconds"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _part(tensors, "optimizer/").items():
        number, name = key.split("/", 1)
        state.setdefault(int(number), {})[name] = tensor
    return state
