"""The task: which attributes are asked for, what of them leaves a client, and who predicts them."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fl_crafter.defences.configured import shipped_outputs
from fl_crafter.defences.labels import randomised_response
from fl_crafter.errors import InputError
from fl_crafter.faces.attributes import listed, places_of
from fl_crafter.faces.celeba import ATTRIBUTES
from fl_crafter.faces.record import Role
from fl_crafter.models.head import head, with_head, with_outputs
from fl_crafter.models.split import feature_shape, freeze
from fl_crafter.randomness import derived_random
from fl_crafter.training.cloud import CloudTraining, train_cloud
from simulations.client_data import encode, faces, model, remembered
from simulations.config import SimulationConfig


@dataclass(frozen=True)
class Task:
    """The attributes that the server asks for.

    Attributes:
        names: in the order of the labels.
        columns: their places among the dataset's attributes.
    """

    names: tuple[str, ...]
    columns: list[int]


def names(config: SimulationConfig) -> tuple[str, ...]:
    """Names of the attributes that are asked for.

    A server needs no dataset for them where the configuration names them.
    """
    asked = listed(config.attributes)
    distinct = len(set(asked)) == len(asked)
    return asked if asked and distinct else task(config).names


def task(config: SimulationConfig) -> Task:
    """What the run's clients share labels of; no other label leaves a client.

    Raises:
        InputError: the dataset has no attributes, or not these.
    """
    known = faces(config).attribute_names
    if not known:
        raise InputError(
            f"the dataset {config.dataset} has no attributes, and so no task; take another one."
        )
    asked = listed(config.attributes) or known
    return Task(asked, list(places_of(asked, known, what="attributes")))


def labels(
    config: SimulationConfig, index: Int64[Tensor, " count"], *, random: torch.Generator
) -> Float[Tensor, "count attributes"]:
    """Labels that leave the client: the asked ones, randomised; in a deployment none."""
    asked = faces(config).attributes[index][:, task(config).columns]
    if config.scenario == "deployment":
        return torch.full_like(asked, float("nan"))
    return randomised_response(asked, flip=config.label_flip, random=random)


def first_cloud(
    config: SimulationConfig, asked: tuple[str, ...], *, random: torch.Generator
) -> nn.Module:
    """The cloud model that training starts from: the weights' own, with these outputs.

    Where it tells CelebA's attributes, and these are of them, its own outputs are taken; otherwise
    the last layer is new, unless it has as many outputs.
    """
    network = model(config.weights)
    cloud = network.cloud
    if head(cloud)[1].out_features == len(ATTRIBUTES) and set(asked) <= set(ATTRIBUTES):
        shape = feature_shape(network.encoder, config.image_size)
        return with_outputs(cloud, shipped_outputs(asked), torch.zeros(1, *shape)).requires_grad_()
    return with_head(cloud, attributes=len(asked), random=random)


@lru_cache(maxsize=1)
def deployed_cloud(config: SimulationConfig) -> nn.Module:
    """The cloud model of a deployment, trained beforehand on clean features of public people.

    Client and server make the same one, so that a client can tell whether it was used. Where the
    weights' own model tells the task's attributes already it is taken as it is.
    """
    asked = task(config).names
    random = derived_random(config.seed, "deployed")
    cloud = first_cloud(config, asked, random=random)
    told = head(model(config.weights).cloud)[1].out_features
    known = faces(config).attribute_names
    celeba = known == ATTRIBUTES and told == len(ATTRIBUTES)
    if not celeba and not (asked == known and told == len(asked)):
        cloud.load_state_dict(remembered(config, "cloud", lambda: _trained(config, cloud, random)))
    return freeze(cloud.to(config.device))


def _trained(
    config: SimulationConfig, cloud: nn.Module, random: torch.Generator
) -> dict[str, Tensor]:
    """Weights of the cloud model after training on clean features of public people."""
    public = faces(config).with_role(Role.PUBLIC)
    if not len(public):
        raise InputError(f"{config.dataset} has no public photographs to train a task on.")
    encoder = model(config.weights).encoder
    train_cloud(
        cloud.to(config.device),
        encode(encoder, public.image, device=config.device).__getitem__,
        public.attributes[:, task(config).columns],
        settings=replace(cloud_training(config), flip=0.0),  # public labels are not randomised
        random=random,
    )
    return {name: value.cpu() for name, value in cloud.state_dict().items()}


def cloud_training(config: SimulationConfig) -> CloudTraining:
    """How the cloud model is trained in this run."""
    return CloudTraining(
        epochs=config.cloud_epochs,
        batch_size=config.cloud_batch_size,
        learning_rate=config.cloud_learning_rate,
        head_learning_rate=config.cloud_head_rate,
        weight_decay=config.cloud_weight_decay,
        rate_decay=config.cloud_rate_decay,
        class_balance=config.class_balance,
        flip=config.label_flip,
    )
