"""Run inside the cloud image: the cloud worker's own thinking, with the built-in labeller and SAM, on one photo."""

import numpy as np

from umiak_workers.adapters.artefacts import builtin_folder, load_model
from umiak_workers.cloud.stages import Stages
from umiak_workers.cloud.think import Thinker
from umiak_workers.contract.config import Fusion
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.sam import load_sam

edge = OnnxSegmenter(load_model(builtin_folder("yard-edge")), 1)
labeller = OnnxSegmenter(load_model(builtin_folder("yard-cloud")), 1)
sam = load_sam(load_model(builtin_folder("yard-sam")))
sample = open_dataset("yard:dusk?seed=501&frames=1&shot=1")[0]
opinion = Thinker(labeller, sam, Fusion()).think("", sample.image, edge, Stages())
assert sorted(opinion.models) == ["edge", "labeller", "sam"], opinion.models
known = sample.label != 255
print(opinion.masks, float(np.mean(opinion.labels[known] == sample.label[known])))
