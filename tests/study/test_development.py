"""The cloud model learns from releases what they hold of the labels, and nothing else."""

import pytest
import torch

from fl_crafter.evaluation.metrics import mean_auc
from fl_crafter.study.bench import Bench
from fl_crafter.study.development import develop
from fl_crafter.study.linkability import known_photographs


def developed_auc(bench: Bench, theirs: torch.Tensor, released: torch.Tensor, epochs: int) -> float:
    known = known_photographs(bench)
    logits = develop(bench, known=known, theirs=theirs, released=released, epochs=epochs)
    labels = bench.faces.attributes[bench.test]
    return float(mean_auc(logits.double(), labels, torch.ones(1, len(labels), dtype=torch.float64)))


def test_labels_are_learnt_from_features_that_hold_them(labelled: Bench) -> None:
    known = known_photographs(labelled)
    theirs = labelled.encode(labelled.faces.image[known])
    released = labelled.encode(labelled.faces.image[labelled.test])
    before = {name: value.clone() for name, value in labelled.model.cloud.state_dict().items()}
    short = developed_auc(labelled, theirs, released, epochs=1)
    assert developed_auc(labelled, theirs, released, epochs=100) > short + 0.1  # of one photo each
    blank = torch.zeros_like(released)
    assert developed_auc(labelled, theirs, blank, epochs=1) == pytest.approx(0.5)
    for name, value in labelled.model.cloud.state_dict().items():  # the public model is not touched
        assert torch.equal(value, before[name])
