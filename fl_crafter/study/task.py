"""The cloud model of a dataset whose labels or size the shipped one does not know."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.accelerator import default_device
from fl_crafter.assets import load_encoder
from fl_crafter.attacks.queries import features_of
from fl_crafter.errors import InputError
from fl_crafter.faces.celeba import ATTRIBUTES
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.head import with_head
from fl_crafter.models.split import SplitModel, feature_shape, freeze
from fl_crafter.study.named import named_encoder
from fl_crafter.study.plan import SHIPPED_SIZE, Plan
from fl_crafter.training.cloud import CloudTraining, train_cloud

TEACHING = {"smoke": 1, "cpu": 12, "gpu": 40}
"""Epochs in which the cloud model learns another dataset's labels, by budget."""
ENOUGH = 300  # public photographs with each label, to learn from them alone


def taught(
    model: SplitModel, faces: Faces, public: Faces, *, epochs: int
) -> tuple[SplitModel, str]:
    """The same encoder, and a copy of the cloud model that learnt the dataset's own labels.

    It learns from clean features, so that it is what the paper's deployment scenario starts from:
    trained beforehand, without any defence. Where the public photographs know each label often
    enough it learns from them alone; else from the private people's other photographs too, and has
    then met those people.

    Args:
        model: whose cloud model is the start; its last layer is replaced.
        faces: the dataset.
        public: the public photographs, with the labels of `faces`.
        epochs: over those photographs.

    Returns:
        The model, in the processor's memory, and what its cloud model learnt from, in words.

    Raises:
        InputError: a label of the tests is on no such photograph.
    """
    learnt, image, labels = _lessons(faces, public)
    device = default_device()
    encoder = model.encoder.to(device)

    def feature(chosen: Int64[Tensor, " chosen"]) -> Tensor:
        return features_of(encoder, image[chosen])

    random = torch.Generator().manual_seed(0)
    cloud = with_head(model.cloud.to(device), attributes=labels.shape[1], random=random)
    settings = CloudTraining(epochs=epochs, class_balance=True)
    train_cloud(cloud, feature, labels, settings=settings, random=random)
    return SplitModel(encoder, freeze(cloud)).to("cpu"), learnt


def _lessons(
    faces: Faces, public: Faces
) -> tuple[str, Float[Tensor, "count 3 height width"], Float[Tensor, "count attributes"]]:
    """In words, what the cloud model learns from; the photographs; their labels."""
    labelled = (~public.attributes.isnan().all(1)).nonzero().flatten()
    image, labels = public.image[labelled], public.attributes[labelled]
    words = f"{len(labelled)} public photographs"
    tests = torch.tensor([role == Role.EVAL_TEST for role in faces.role])
    graded = ~faces.attributes[tests].isnan().all(0)
    if bool((_known(labels)[graded] >= ENOUGH).all()) and len(labelled):
        return words, image, labels
    train = torch.tensor([role == Role.EVAL_TRAIN for role in faces.role])
    own = (train & ~faces.attributes.isnan().all(1)).nonzero().flatten()
    own_image, own_labels = faces.image[own], faces.attributes[own]
    image, labels = torch.cat([image, own_image]), torch.cat([labels, own_labels])
    untaught = (graded & (_known(labels) == 0)).nonzero().flatten().tolist()
    if not len(labels) or untaught:
        unknown = " and ".join(faces.attribute_names[column] for column in untaught)
        raise InputError(
            f"{faces.name}: no photograph outside the tests has a label to learn"
            + (f" of {unknown}" if unknown else "")
            + "; take another dataset, or give a cloud model of it with --encoder."
        )
    words = f"{words} and " if len(labelled) else ""
    words += f"{len(own)} other photographs of the private people, whom it has thus met"
    return words, image, labels


def _known(labels: Float[Tensor, "count attributes"]) -> Int64[Tensor, " attributes"]:
    """How many photographs have each label."""
    return (~labels.isnan()).sum(0)


def victim(plan: Plan, faces: Faces, public: Faces) -> tuple[SplitModel, str]:
    """The victim's encoder and the cloud model of the dataset's labels; what that learnt from.

    Raises:
        InputError: the plan's own does not take images of this size, gives no map, lacks a cloud
            or has other outputs than labels.
    """
    wanted = len(faces.attribute_names)
    if not wanted:
        raise InputError(f"The photographs of {plan.data} have no attributes; utility takes some.")
    if not plan.encoder:
        model = load_encoder()
        if plan.size == SHIPPED_SIZE and faces.attribute_names == ATTRIBUTES:
            return model, "public photographs, as shipped"
        return taught(model, faces, public, epochs=TEACHING[plan.budget])
    model = named_encoder(plan.encoder)
    if not isinstance(model, SplitModel):
        raise InputError(
            f"{plan.encoder} returns an encoder alone; utility takes its cloud model too: return "
            "fl_crafter.cut(network, layer) or SplitModel(encoder, cloud)."
        )
    feature_shape(model.encoder, plan.size)
    with torch.no_grad():
        known = model.logits(torch.zeros(1, 3, plan.size, plan.size)).shape[1]
    if wanted != known:
        raise InputError(
            f"The cloud model tells {known} attributes and {plan.data} has {wanted}; give one that "
            "tells those."
        )
    return model, "photographs of its owner's choice"
