"""Every trainer: a few steps change the weights, stay finite, follow the seed and can resume."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.models.amortiser import Amortiser
from fl_crafter.models.decoder import ConvolutionalDecoder, DenseDecoder
from fl_crafter.models.generator import Generator, GeneratorShape
from fl_crafter.models.information import InformationCritic
from fl_crafter.models.pruner import ChannelPruner
from fl_crafter.models.resnet import resnet18_split, resnet_tail
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.training import advlearn, decoder, disco, encoder, loop, prior, tiprdc
from fl_crafter.training.advlearn import AdvLearnTraining, train_advlearn
from fl_crafter.training.decoder import (
    AmortiserTraining,
    DecoderTraining,
    train_amortiser,
    train_decoder,
)
from fl_crafter.training.disco import DiscoTraining, train_disco
from fl_crafter.training.encoder import EncoderTraining, train_encoder
from fl_crafter.training.loop import run_training
from fl_crafter.training.prior import Inference, PriorTraining, match_prior, train_prior
from fl_crafter.training.tiprdc import TiprdcTraining, train_tiprdc

SIZE, STEPS = 32, 3
Trained = tuple[nn.Module, nn.Module, dict[str, float]]
Trainer = Callable[[int, Path | None], Trained]


def images() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (24, 3, SIZE, SIZE), dtype=torch.uint8, generator=random)


def split(*, dropout: float = 0.0) -> SplitModel:
    return resnet18_split(attributes=3, widths=(4, 6, 8, 8), dropout=dropout)


def frozen_split() -> SplitModel:
    torch.manual_seed(5)
    model = split()
    return SplitModel(freeze(model.encoder), freeze(model.cloud))  # type: ignore[arg-type]


def generator() -> Generator:
    return Generator(GeneratorShape(6, (8, 6, 4), 4, 4))


def encoder_trainer(seed: int, checkpoint: Path | None) -> Trained:
    torch.manual_seed(seed)
    model = split(dropout=0.3)
    fresh = nn.ModuleList([model.encoder, model.cloud])
    before = _copy(fresh)
    labels = torch.randint(0, 2, (24, 3), generator=torch.Generator().manual_seed(1)).float()
    settings = EncoderTraining(steps=STEPS, batch_size=8, seed=seed)
    trained, figures = train_encoder(
        model, images(), labels, settings=settings, checkpoint=checkpoint
    )
    return before, nn.ModuleList([trained.encoder, trained.cloud]), figures


def prior_trainer(seed: int, checkpoint: Path | None) -> Trained:
    torch.manual_seed(seed)
    fresh = generator()
    before = _copy(fresh)
    settings = PriorTraining(steps=STEPS, adversarial_from=2, batch_size=8, seed=seed)
    trained, figures = train_prior(
        fresh, frozen_split(), images(), settings=settings, checkpoint=checkpoint
    )
    return before, trained, figures


def decoder_trainer(
    seed: int, checkpoint: Path | None, *, adversarial_weight: float = 0.0
) -> Trained:
    torch.manual_seed(seed)
    fresh = ConvolutionalDecoder(4, widths=(8, 6, 4))
    before = _copy(fresh)
    settings = DecoderTraining(
        steps=STEPS, batch_size=8, adversarial_weight=adversarial_weight, seed=seed
    )
    victim = frozen_split().encoder
    trained, figures = train_decoder(
        fresh, victim, images(), settings=settings, checkpoint=checkpoint
    )
    return before, trained, figures


def amortiser_trainer(seed: int, checkpoint: Path | None) -> Trained:
    torch.manual_seed(9)
    victim, faces = frozen_split().encoder, freeze(generator())
    assert isinstance(faces, Generator)
    torch.manual_seed(seed)
    fresh = Amortiser(6, feature_shape=(4, 8, 8), widths=(4, 4, 4, 4))
    before = _copy(fresh)
    settings = AmortiserTraining(steps=STEPS, batch_size=8, seed=seed)
    trained, figures = train_amortiser(
        fresh, faces, victim, images(), settings=settings, checkpoint=checkpoint
    )
    return before, trained, figures


def labels() -> Tensor:
    return torch.randint(0, 2, (24, 3), generator=torch.Generator().manual_seed(1)).float()


def advlearn_trainer(seed: int, checkpoint: Path | None) -> Trained:
    torch.manual_seed(seed)
    model, fresh = split(), ConvolutionalDecoder(4, widths=(8, 6, 4))
    whole = nn.ModuleList([model.encoder, model.cloud, fresh])
    before = _copy(whole)
    settings = AdvLearnTraining(rounds=1, phase_steps=1, batch_size=8, seed=seed)
    figures = train_advlearn(
        model, fresh, images(), images(), labels(), settings=settings, checkpoint=checkpoint
    )
    return before, whole, figures


def disco_trainer(seed: int, checkpoint: Path | None) -> Trained:
    torch.manual_seed(seed)
    model, fresh = split(), ConvolutionalDecoder(4, widths=(8, 6, 4))
    pruner = ChannelPruner((4, 6, 8, 8))
    whole = nn.ModuleList([model.encoder, model.cloud, fresh, pruner])
    before = _copy(whole)
    settings = DiscoTraining(ratio=0.5, steps=STEPS, batch_size=8, seed=seed)
    figures = train_disco(
        model, pruner, fresh, images(), labels(), settings=settings, checkpoint=checkpoint
    )
    return before, whole, figures


def tiprdc_trainer(seed: int, checkpoint: Path | None) -> Trained:
    torch.manual_seed(seed)
    model = split()
    classifier = resnet_tail((4, 6, 8, 8), (2, 2, 2), outputs=6)
    critic = InformationCritic(6, widths=(4, 6, 8, 8), hidden=(8, 4))
    whole = nn.ModuleList([model.encoder, model.cloud, classifier, critic])
    before = _copy(whole)
    settings = TiprdcTraining(classifier_steps=1, steps=1, head_steps=1, batch_size=8, seed=seed)
    person = torch.arange(24) % 6
    figures = train_tiprdc(
        model,
        classifier,
        critic,
        images(),
        person,
        labels(),
        settings=settings,
        checkpoint=checkpoint,
    )
    return before, whole, figures


def _copy(module: nn.Module) -> nn.Module:
    return nn.ParameterList([w.detach().clone() for w in module.parameters()])


TRAINERS: dict[str, Trainer] = {
    "encoder": encoder_trainer,
    "prior": prior_trainer,
    "decoder": decoder_trainer,
    "adversarial decoder": partial(decoder_trainer, adversarial_weight=1.0),
    "amortiser": amortiser_trainer,
    "advlearn": advlearn_trainer,
    "disco": disco_trainer,
    "tiprdc": tiprdc_trainer,
}
FIGURES = {
    "encoder": {"loss"},
    "prior": {"pixel", "feature", "kl", "gap", "judged"},
    "decoder": {"pixel", "feature"},
    "adversarial decoder": {"pixel", "feature", "gap"},
    "amortiser": {"latent", "feature"},
    "advlearn": {"decoder", "task", "hidden"},
    "disco": {"decoder", "task"},
    "tiprdc": {"before", "named", "information", "task"},
}


def values(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.state_dict().items()


@pytest.mark.parametrize("name", TRAINERS)
def test_a_few_steps_train(name: str) -> None:
    before, trained, figures = TRAINERS[name](0, None)
    assert figures.keys() == FIGURES[name] | {"seconds"}
    _, *parts = trained.modules()
    assert not any(part.training for part in parts)
    for old, new in zip(before.parameters(), trained.parameters(), strict=True):
        assert bool(torch.isfinite(new).all()) and not torch.equal(old, new)


@pytest.mark.parametrize("name", TRAINERS)
def test_the_seed_decides(name: str) -> None:
    one, same, other = (dict(values(TRAINERS[name](seed, None)[1])) for seed in (0, 0, 1))
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert not all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("name", TRAINERS)
def test_resuming_changes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole, figures = TRAINERS[name](0, None)
    store, stored = loop.save_checkpoint, []

    def interrupt(*arguments: object, **named: object) -> None:
        store(*arguments, **named)  # type: ignore[arg-type]
        stored.append(named["step"])
        if named["step"] == STEPS // 2 + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", interrupt)
    for module in (encoder, prior, decoder, advlearn, disco, tiprdc):
        monkeypatch.setattr(module, "run_training", partial(run_training, checkpoint_every=1))
    with pytest.raises(KeyboardInterrupt):
        TRAINERS[name](0, tmp_path / "checkpoint")
    monkeypatch.setattr(loop, "save_checkpoint", store)
    _, resumed, again = TRAINERS[name](0, tmp_path / "checkpoint")
    assert stored == [1, 2]
    for (key, value), (_, found) in zip(values(whole), values(resumed), strict=True):
        assert torch.equal(value, found), key
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in figures.items() if k != "seconds"
    }


def test_a_defence_stands_between_encoder_and_decoder() -> None:
    torch.manual_seed(0)
    trained = ConvolutionalDecoder(4, widths=(8, 6, 4))
    settings = DecoderTraining(steps=STEPS, batch_size=8)
    nothing = torch.zeros(24, 4, 8, 8)
    train_decoder(trained, frozen_split().encoder, images(), settings=settings, feature=nothing)
    # of a zero feature the first layer's weights learn nothing, its bias does
    first = trained.layers[0]
    torch.manual_seed(0)
    untrained = ConvolutionalDecoder(4, widths=(8, 6, 4)).layers[0]
    assert isinstance(first, nn.Conv2d) and isinstance(untrained, nn.Conv2d)
    assert torch.equal(first.weight, untrained.weight)
    assert first.bias is not None and not torch.equal(first.bias, untrained.bias)


def test_the_frozen_stay_as_they_were() -> None:
    torch.manual_seed(0)
    victim = frozen_split().encoder
    before = {key: value.clone() for key, value in victim.state_dict().items()}
    settings = DecoderTraining(steps=STEPS, batch_size=8)
    train_decoder(DenseDecoder((4, 8, 8), widths=(6,) * 3), victim, images(), settings=settings)
    assert all(torch.equal(v, before[k]) for k, v in victim.state_dict().items())
    assert all(weight.grad is None for weight in victim.parameters())


def test_a_decoder_learns_one_image() -> None:
    torch.manual_seed(0)
    victim = frozen_split().encoder
    photograph = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    photograph[:, 0] = 200  # red, so that a grey answer is wrong
    settings = DecoderTraining(steps=60, batch_size=2, learning_rate=0.02, grey=0.0)
    trained, _ = train_decoder(
        ConvolutionalDecoder(4, widths=(8, 6, 4)), victim, photograph, settings=settings
    )
    image = photograph.float() / 255
    with torch.no_grad():
        assert float((trained(victim(image)) - image).abs().mean()) < 0.1


@pytest.mark.parametrize(
    "settings", [EncoderTraining(), PriorTraining(), DecoderTraining(), AmortiserTraining()]
)
def test_recipes_are_complete_and_frozen(settings: object) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.steps = 1  # type: ignore[attr-defined]


def test_latents_are_moved_to_where_the_faces_are() -> None:
    class Fixed(Inference):
        """Posterior means on a line, all with variance 1/4."""

        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            place = image[:, 0, 0, 0] * 255
            mean = torch.stack([place + 1, 2 * place, torch.zeros_like(place)], 1)
            return mean, torch.full_like(mean, 0.25).log()

    faces = torch.zeros(5, 3, SIZE, SIZE, dtype=torch.uint8)
    faces[:, 0, 0, 0] = torch.arange(5)
    target = generator()
    target.layers[0] = nn.Linear(3, 3)
    with torch.no_grad():
        target.layers[0].weight.copy_(torch.eye(3))
        target.layers[0].bias.zero_()
    match_prior(target, Fixed(3, image_size=SIZE), faces)
    first = target.layers[0]
    torch.testing.assert_close(first.bias.data, torch.tensor([3.0, 4.0, 0.0]))
    variance = 2.5  # of 0, 1, 2, 3, 4
    line = torch.tensor([1.0, 2.0, 0.0])
    expected = variance * torch.outer(line, line) + torch.eye(3) / 4
    torch.testing.assert_close(first.weight.data @ first.weight.data.T, expected)
