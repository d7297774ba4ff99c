"""A defence by its name: the settings reach it, and the weights are those of the folder named."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from fl_crafter.assets.store import save_asset
from fl_crafter.defences.base import Defence, Status
from fl_crafter.defences.configured import NAMES, DefenceSettings, build_defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.distance import CriticSettings
from fl_crafter.defences.projection import Projection
from fl_crafter.defences.substitution import Substitution
from fl_crafter.errors import InputError
from fl_crafter.faces.celeba import ATTRIBUTES
from tests.world import LATENT, SHAPE, World, seeded

CRITIC = CriticSettings(widths=(4, 8), warm_up=1, steps=1, batch_size=4)
CRAFTER = CrafterSettings(utility_weight=7.0, steps=1, prior_images=8, distance=CRITIC)


@pytest.fixture
def weights(world: World, tmp_path: Path) -> Path:
    shape = dataclasses.asdict(world.generator.shape)
    save_asset(tmp_path, "generator", world.generator, architecture=shape)
    amortiser = {"latent_size": LATENT, "feature_shape": SHAPE, "widths": [4, 4, 4, 4]}
    save_asset(tmp_path, "amortiser", world.amortiser, architecture=amortiser)
    decoder = {"channels": SHAPE[0], "widths": [8, 6, 4]}
    save_asset(tmp_path, "decoder", world.decoder, architecture=decoder)
    return tmp_path


def build(
    name: str, world: World, weights: Path | None = None, settings: DefenceSettings | None = None
) -> Defence:
    return build_defence(
        name,
        encoder=world.encoder,
        cloud=world.cloud,
        public_feature=world.public_feature,
        settings=settings or DefenceSettings(components=3, neighbours=2, crafter=CRAFTER),
        weights=weights,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_name_builds_its_defence_with_its_settings(
    name: str, world: World, weights: Path
) -> None:
    defence = build(name, world, weights)
    assert defence.name == name
    if isinstance(defence, Projection):
        assert defence.basis.shape[1] == 3
    if name == "substitution":
        assert isinstance(defence, Substitution)
        assert defence.neighbours == 2
    if isinstance(defence, Crafter):
        assert defence.settings == CRAFTER
    result = defence.protect(world.feature, random=seeded())
    assert result.feature.shape == world.feature.shape and result.status != Status.DIVERGED


@pytest.mark.parametrize(
    "wanted",
    [
        {"latent": 1.0, "decoder": 0.0, "amortised": 0.0, "pixels": 0.0},
        {"latent": 0.0, "decoder": 2.0, "amortised": 1.5, "pixels": 0.0},
        {"latent": 0.5, "decoder": 3.0, "amortised": 0.0, "pixels": 2.5},
    ],
)
def test_the_eavesdroppers_of_weight_nothing_are_left_out(
    wanted: dict[str, float], world: World, weights: Path
) -> None:
    settings = DefenceSettings(
        latent_eavesdropper=wanted["latent"],
        decoder_eavesdropper=wanted["decoder"],
        amortised_eavesdropper=wanted["amortised"],
        pixel_eavesdropper=wanted["pixels"],
    )
    defence = build("crafter_simulated", world, weights, settings)
    assert isinstance(defence, Crafter)
    simulated = {each.name: each.weight for each in defence.eavesdroppers}
    assert simulated == {name: weight for name, weight in wanted.items() if weight}


def test_only_simulated_eavesdroppers_need_weights(world: World, tmp_path: Path) -> None:
    for name in NAMES:
        if name not in ("crafter_simulated", "crafter_published", "crafter_z"):
            build(name, world, tmp_path)
    with pytest.raises(InputError, match=str(tmp_path)):
        build("crafter_simulated", world, tmp_path)


def test_an_unknown_name_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="'blur'") as caught:
        build("blur", world)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize("name", ["crafter", "substitution"])
def test_what_is_not_kept_leaves_no_trace(name: str, world: World) -> None:
    """Two people who differ in another output alone are released as the same one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cloud = nn.Sequential(nn.Flatten(), nn.Linear(world.feature[0].numel(), 3)).eval()
    weight = cloud[1].weight.detach()
    unseen = weight[1] - weight[1].dot(weight[0]) / weight[0].dot(weight[0]) * weight[0]
    other = world.feature + 20 * unseen.view(1, *world.feature.shape[1:])
    told = (cloud(other) - cloud(world.feature)).detach()
    assert float(told[:, 0].abs().max()) < 1e-4 < 1 < float(told[:, 1].abs().min())
    gap = []
    for keep in ((0,), ()):
        settings = DefenceSettings(crafter=dataclasses.replace(CRAFTER, steps=8), keep=keep)
        defence = build_defence(
            name,
            encoder=world.encoder,
            cloud=cloud,
            public_feature=world.public_feature,
            settings=settings,
        )
        one, two = (defence.protect(f, random=seeded()).feature for f in (world.feature, other))
        gap.append(float((one - two).abs().max()))
    assert gap[0] < 1e-3 and gap[1] > 0.1


def test_what_a_task_asks_for_is_kept_where_the_shipped_model_tells_it() -> None:
    config = {
        "dataset": "celeba",
        "utility_weight": 1.0,
        "crafting_steps": 1,
        "crafting_rate": 0.1,
    } | {
        field.name: field.default
        for field in dataclasses.fields(DefenceSettings)
        if field.name not in ("keep", "crafter")
    }

    def kept(attributes: str, keep: str = "", dataset: str = "celeba") -> tuple[int, ...]:
        asked = {"attributes": attributes, "keep": keep, "dataset": dataset}
        return DefenceSettings.from_config(config | asked).keep

    smiling, male = ATTRIBUTES.index("Smiling"), ATTRIBUTES.index("Male")
    assert kept("Smiling, Male") == (smiling, male)
    assert kept("") == kept("smile,male", dataset="orl") == kept("Smiling", dataset="lfw") == ()
    assert kept("smile", "Smiling", "orl") == kept("Male", "Smiling") == (smiling,)
    assert DefenceSettings.from_config(config | {"attributes": "Male"}).keep == (), "an older run"
    with pytest.raises(InputError, match="outputs to keep must be .* not 'smile'"):
        kept("", "smile")
    with pytest.raises(InputError, match="' , ' names nothing"):
        kept("", " , ")
