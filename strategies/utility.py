"""How well the cloud model serves its task on features that it never trained on."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn


@dataclass(frozen=True)
class AttributeUtility:
    """Area under the ROC curve per attribute.

    Attributes:
        auc: by attribute name, in [0, 1]; .5 is chance.
        skipped: attributes of which only one class, or no label, was at hand.
    """

    auc: dict[str, float]
    skipped: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over the attributes that could be judged; nan if there is none."""
        return float(np.mean(list(self.auc.values()))) if self.auc else float("nan")


@torch.no_grad()
def predict(
    cloud: nn.Module,
    feature: Float[Tensor, "count channels rows columns"],
    *,
    batch_size: int = 256,
) -> Float[Tensor, "count attributes"]:
    """Probabilities of the attributes, on the CPU."""
    device = next(cloud.parameters()).device
    cloud.eval()
    parts = [torch.sigmoid(cloud(part.to(device))).cpu() for part in feature.split(batch_size)]
    return torch.cat(parts)


def attribute_utility(
    score: Float[Tensor, "count attributes"],
    labels: Float[Tensor, "count attributes"],
    *,
    names: tuple[str, ...],
) -> AttributeUtility:
    """The utility of scores for labels that are 0, 1 or, where unknown, nan."""
    auc: dict[str, float] = {}
    skipped: list[str] = []
    for column, name in enumerate(names):
        known = ~torch.isnan(labels[:, column])
        truth = labels[known, column]
        if truth.unique().numel() < 2:
            skipped.append(name)
            continue
        auc[name] = float(roc_auc_score(truth.numpy(), score[known, column].numpy()))
    return AttributeUtility(auc, tuple(skipped))
