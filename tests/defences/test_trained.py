"""The trained defences: the contract, their files, and what they put in the victim's place."""

import dataclasses
from pathlib import Path

import pytest
import torch

from fl_crafter.assets.trained import (
    ADVLEARN,
    DISCO,
    DISCO_RANDOM,
    TIPRDC,
    TRAINED,
    TrainedParts,
    TrainedShape,
    load_trained,
)
from fl_crafter.defences.base import Defence
from fl_crafter.defences.configured import build_defence
from fl_crafter.defences.trained import Disco, Retrained
from fl_crafter.errors import InputError
from fl_crafter.models.split import freeze
from tests.defences.contract import DefenceContract
from tests.world import SHAPE, World, pictures, seeded


def parts(defence: str, *, ratio: float = 0.5) -> TrainedParts:
    torch.manual_seed(3)
    shape = TrainedShape(defence, 3, (SHAPE[0], 6, 8, 8), (2, 2, 2), 0.5, ratio, 32)
    built = shape.build()
    freeze(built.module())
    return built


class TestAdvLearn(DefenceContract):
    def build(self, world: World) -> Defence:
        return Retrained(parts(ADVLEARN))


class TestTiprdc(DefenceContract):
    def build(self, world: World) -> Defence:
        return Retrained(parts(TIPRDC))


class TestDisco(DefenceContract):
    def build(self, world: World) -> Defence:
        return Disco(parts(DISCO))

    def test_it_halves_the_channel_at_the_threshold(self, world: World) -> None:
        defence = Disco(parts(DISCO, ratio=0.99))
        released = defence.protect(world.feature, random=seeded()).feature
        kept = (released / world.feature).flatten(2).nanmedian(2).values
        torch.testing.assert_close(kept.amax(1), torch.full((len(kept),), 0.5))


class TestRandomDisco(DefenceContract):
    def build(self, world: World) -> Defence:
        return Disco(parts(DISCO_RANDOM))

    def test_each_row_keeps_channels_of_its_own(self, world: World) -> None:
        feature = torch.ones(64, *SHAPE)
        kept = Disco(parts(DISCO_RANDOM)).protect(feature, random=seeded()).feature[:, :, 0, 0]
        assert set(kept.unique().tolist()) == {0.0, 1.0}
        assert set(kept.sum(1).tolist()) == {2.0}
        assert len(kept.unique(dim=0)) == 6, "every pair of the four channels"


@pytest.mark.parametrize("name", TRAINED)
def test_a_file_gives_back_what_was_trained(name: str, world: World, tmp_path: Path) -> None:
    made = parts(name)
    path = tmp_path / "defence.safetensors"
    made.save(path)
    defence = build_defence(
        name,
        encoder=world.encoder,
        cloud=world.cloud,
        public_feature=world.public_feature,
        weights=path,
    )
    assert defence.name == name and defence.model is not None
    image = pictures(3, seed=4)
    assert torch.equal(defence.model.logits(image), made.model.logits(image))
    assert not torch.equal(defence.model.encoder(image), world.encoder(image))
    released = defence.protect(made.model.encoder(image), random=seeded()).feature
    assert released.shape == (3, *SHAPE)
    assert (defence.decoder is None) == (name == TIPRDC)


def test_a_file_of_another_defence_is_refused(world: World, tmp_path: Path) -> None:
    path = tmp_path / "defence.safetensors"
    parts(ADVLEARN).save(path)
    with pytest.raises(InputError, match=r"defence\.safetensors.*disco"):
        load_trained(path, DISCO)
    with pytest.raises(InputError, match=r"nothing\.safetensors"):
        load_trained(tmp_path / "nothing.safetensors", ADVLEARN)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"defence\.safetensors"):
        load_trained(path, ADVLEARN)
    with pytest.raises(InputError, match="advlearn.*weights"):
        build_defence(
            ADVLEARN,
            encoder=world.encoder,
            cloud=world.cloud,
            public_feature=world.public_feature,
        )


def test_the_shape_is_all_that_is_needed() -> None:
    shape = parts(DISCO).shape
    again = TrainedShape(**dataclasses.asdict(shape)).build().module().state_dict()
    assert again.keys() == parts(DISCO).module().state_dict().keys()
