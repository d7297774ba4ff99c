"""The cloud model of a dataset whose labels the shipped one does not know."""

import torch
from jaxtyping import Int64
from torch import Tensor

from fl_crafter.accelerator import default_device
from fl_crafter.attacks.queries import features_of
from fl_crafter.errors import InputError
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.training.cloud import CloudTraining, train_cloud, with_head

TEACHING = {"smoke": 1, "cpu": 12, "gpu": 40}
"""Epochs in which the cloud model learns another dataset's labels, by budget."""


def taught(model: SplitModel, faces: Faces, *, epochs: int) -> SplitModel:
    """The same encoder, and a copy of the cloud model that learnt the dataset's own labels.

    It learns from clean features of every labelled photograph that is not a test one, so that it
    is what the paper's deployment scenario starts from: trained beforehand, without any defence.

    Args:
        model: whose cloud model is the start; its last layer is replaced.
        faces: the dataset.
        epochs: over those photographs.

    Raises:
        InputError: no such photograph has a label.
    """
    known = ~faces.attributes.isnan().all(1)
    free = torch.tensor([role != Role.EVAL_TEST for role in faces.role])
    place = (known & free).nonzero().flatten()
    if not len(place):
        raise InputError(
            f"{faces.name}: no photograph outside the tests has a label to learn; take another "
            "dataset, or give a cloud model of it with --encoder."
        )
    device = default_device()
    encoder = model.encoder.to(device)

    def feature(chosen: Int64[Tensor, "chosen"]) -> Tensor:
        return features_of(encoder, faces.image[place[chosen]])

    random = torch.Generator().manual_seed(0)
    labels = faces.attributes[place]
    cloud = with_head(model.cloud.to(device), attributes=labels.shape[1], random=random)
    settings = CloudTraining(epochs=epochs, class_balance=True)
    train_cloud(cloud, feature, labels, settings=settings, random=random)
    return SplitModel(encoder, freeze(cloud))
