"""Run inside the trainer image: one epoch of a round's fine-tuning of the built-in edge model."""

import numpy as np
import torch
import torchvision

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.contract.config import FitConfig, TrainerConfig
from umiak_workers.datasets.source import open_dataset
from umiak_workers.trainer.material import Material
from umiak_workers.trainer.round import learn

base = load_model(builtin_folder("yard-edge"))
photos = open_dataset("yard:dusk?seed=501&frames=8&shot=1")
samples = tuple(photos[index] for index in range(len(photos)))
config = TrainerConfig(
    namespace="plant",
    resource="night",
    joint_inference="watch",
    round="night-round-1",
    line="plant/yard",
    base=base.digest,
    watermark=8,
    base_data="yard:day?seed=101&frames=8&shot=1",
    fit=FitConfig(epochs=1, batch=4, threads=1),
)
learnt = learn(base, Material(replay=samples, replay_held_back=samples, base=samples, base_held_back=samples), config)
moved = [name for name in learnt if not np.array_equal(learnt[name], base.weights[name])]
assert all(np.isfinite(tensor).all() for tensor in learnt.values())
assert not torch.cuda.is_available()
boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]
print(len(moved), torch.__version__)
