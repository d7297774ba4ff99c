"""How well the cloud model serves its task on features that it never trained on."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from fl_crafter.chunks import in_chunks


@dataclass(frozen=True)
class AttributeUtility:
    """Area under the ROC curve per attribute.

    Attributes:
        auc: by attribute name, in [0, 1]; .5 is chance.
        skipped: attributes of which only one class, or no label that tells anything, was at hand.
    """

    auc: dict[str, float]
    skipped: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over the attributes that could be judged; nan if there is none."""
        return float(np.mean(list(self.auc.values()))) if self.auc else float("nan")


def predict(
    cloud: nn.Module,
    feature: Float[Tensor, "count channels rows columns"],
    *,
    batch_size: int = 256,
) -> Float[Tensor, "count attributes"]:
    """Probabilities of the attributes, on the CPU."""
    device = next(cloud.parameters()).device
    cloud.eval()
    return in_chunks(lambda part: torch.sigmoid(cloud(part.to(device))).cpu(), feature, batch_size)


def attribute_utility(
    score: Float[Tensor, "count attributes"],
    labels: Float[Tensor, "count attributes"],
    *,
    names: tuple[str, ...],
    flip: float = 0.0,
) -> AttributeUtility:
    """The utility of scores for labels that are 0, 1 or, where unknown, nan.

    Args:
        score: larger for 1.
        labels: as they were shared.
        names: of the attributes.
        flip: probability with which each label was flipped before it was shared. The area under
            the curve of the true labels is then an estimate (Menon et al., 2015), and may leave
            [0, 1] where few rows are at hand.
    """
    auc: dict[str, float] = {}
    skipped: list[str] = []
    for column, name in enumerate(names):
        known = ~torch.isnan(labels[:, column])
        truth = labels[known, column]
        if truth.unique().numel() < 2:
            skipped.append(name)
            continue
        measured = float(roc_auc_score(truth.numpy(), score[known, column].numpy()))
        kept = _signal_kept(float(truth.mean()), flip)
        if kept <= 0:
            skipped.append(name)
            continue
        auc[name] = 0.5 + (measured - 0.5) / kept
    return AttributeUtility(auc, tuple(skipped))


def _signal_kept(positive: float, flip: float) -> float:
    """Slope of the measured area under the curve in the true one; 0 where nothing can be told.

    Args:
        positive: share of ones among the flipped labels.
        flip: probability of a flip.
    """
    if not flip:
        return 1.0
    if flip >= 0.5:
        return 0.0
    prior = (positive - flip) / (1 - 2 * flip)
    if not 0 < prior < 1:
        return 0.0
    return 1 - (1 - prior) * flip / positive - prior * flip / (1 - positive)
