"""The development scenario: the cloud model goes on learning from what the defence releases."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.chunks import in_chunks
from fl_crafter.models.head import with_head
from fl_crafter.study.bench import Bench
from fl_crafter.training.cloud import CloudTraining, train_cloud

EPOCHS = {"smoke": 1, "cpu": 4, "gpu": 4}


def develop(
    bench: Bench,
    *,
    known: Int64[Tensor, " known"],
    theirs: Float[Tensor, "known channels rows columns"],
    released: Float[Tensor, "tests channels rows columns"],
    epochs: int | None = None,
) -> Float[Tensor, "tests attributes"]:
    """Logits of the test photographs by a cloud model trained on other photographs' releases.

    Training starts from the public cloud model, as a federation's does.

    Args:
        bench: of the grid.
        known: positions in the dataset of the photographs that were shared, with their labels.
        theirs: what the defence released of them.
        released: what it released of the test photographs.
        epochs: over `theirs`; by default those of the plan's budget.
    """
    labels = bench.faces.attributes[known]
    random = torch.Generator().manual_seed(0)
    cloud = with_head(bench.model.cloud, attributes=labels.shape[1], random=random)
    settings = CloudTraining(epochs=epochs or EPOCHS[bench.plan.budget])
    train_cloud(cloud, theirs.__getitem__, labels, settings=settings, random=random)
    return in_chunks(cloud, released).cpu()
