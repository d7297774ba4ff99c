"""Build a defence for a target, and the observer by which a device checks its releases."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fl_crafter.assets import load_decoder
from fl_crafter.chunks import in_chunks
from fl_crafter.defences.configured import NAMES, DefenceSettings, build_defence, kept
from fl_crafter.defences.crafter.crafter import Crafter
from fl_crafter.defences.crafter.latent import CrafterLatent
from fl_crafter.defences.crafter.utility import FeatureUtility, TaskUtility
from fl_crafter.defences.recognition import EigenRecogniser, limit_for
from fl_crafter.defences.target import Promise, Targeted, Unseen, WithinBudget
from fl_crafter.errors import InputError

# Utility weights that a target tries, from much privacy to much utility.
TARGET_WEIGHTS: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def check_target(name: str) -> None:
    """Refuse a target for a defence that has nothing to find.

    Raises:
        InputError: the defence has no utility weight.
    """
    if name in NAMES and not name.startswith("crafter"):
        raise InputError(f"A target needs a defence with a utility weight; '{name}' has none.")


def build_targeted(
    name: str,
    promise: Promise | float,
    *,
    encoder: nn.Module,
    cloud: nn.Module,
    public_feature: Float[Tensor, "count channels rows columns"],
    settings: DefenceSettings | None = None,
    weights: Path | None = None,
) -> Targeted:
    """One of the crafters, which finds the utility weight for each person by itself.

    Args:
        name: `crafter`, `crafter_simulated` or `crafter_z`.
        promise: a budget of utility loss, for the best privacy within it; or whom the person must
            not be shown to (`simulated_observer`), for the smallest change that hides it.
        encoder: see `build_defence`.
        cloud: see `build_defence`.
        public_feature: see `build_defence`.
        settings: but for the utility weight.
        weights: see `build_defence`.

    Raises:
        InputError: the defence has no utility weight, or the budget is not above 0.
    """
    check_target(name)
    made = build_defence(
        name,
        encoder=encoder,
        cloud=cloud,
        public_feature=public_feature,
        settings=settings,
        weights=weights,
    )
    assert isinstance(made, Crafter | CrafterLatent)
    rungs = []
    for weight in TARGET_WEIGHTS:
        rungs.append(copy(made))  # which shares the networks
        rungs[-1].settings = replace(made.settings, utility_weight=weight)
    if isinstance(promise, Promise):
        return Targeted(rungs[::-1], promise=promise)
    cloud = kept(cloud, settings or DefenceSettings(), public_feature)
    task = name == "crafter"
    utility = TaskUtility(cloud, public_feature) if task else FeatureUtility()
    try:
        return Targeted(rungs, promise=WithinBudget(utility, budget=promise))
    except ValueError as error:
        raise InputError(f"The utility {error}.") from error


def simulated_observer(
    encoder: nn.Module,
    public_feature: Float[Tensor, "count channels rows columns"],
    *,
    person: Int64[Tensor, " count"] | None = None,
    false_match: float,
    random: torch.Generator,
    weights: Path | None = None,
) -> Unseen:
    """The eavesdropper that must not recognise anybody in a release; its limit is the public's.

    Args:
        encoder: the encoder that made the features.
        public_feature: features of public faces; half of them fit the recogniser, half the limit.
        person: who each of them shows; all different people by default. Two pictures of one are no
            pair of strangers, and would loosen the limit.
        false_match: share of pairs of different people that are taken for one person.
        random: divides the public features.
        weights: folder of the decoder's weights; the shipped ones by default.

    Raises:
        InputError: there are too few public features, or people.
    """
    if not 0 < false_match < 1:
        raise InputError(f"The share of false matches must lie between 0 and 1, not {false_match}.")
    if len(public_feature) < 64:
        raise InputError(
            f"A release gate needs 64 public features, not {len(public_feature)}; raise "
            "generated-images, or set release-false-match to 0."
        )
    decoder = load_decoder("decoder", weights).to(public_feature.device)
    seen = in_chunks(decoder, public_feature)
    order = torch.randperm(len(seen), generator=random).to(seen.device)
    fitted, held_out = seen[order].tensor_split(2)
    recogniser = EigenRecogniser(encoder, fitted)
    everybody = torch.arange(len(seen)) if person is None else person.cpu()
    _, strangers = everybody[order.cpu()].tensor_split(2)
    try:
        limit = limit_for(recogniser, held_out, person=strangers, false_match=false_match)
    except ValueError as error:
        raise InputError(f"A release gate cannot be set: {error}.") from error
    return Unseen(eavesdropper=decoder, embed=recogniser, limit=limit)
