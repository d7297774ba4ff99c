"""AdvLearn, Disco and TIPRDC: who is trained in which step, and with which gradient."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.attacks.fine_tuning import fine_tune
from fl_crafter.errors import InputError
from fl_crafter.models.information import InformationCritic, information_bound
from fl_crafter.models.pruner import ChannelPruner, channel_mask, random_mask
from fl_crafter.models.resnet import resnet18_split, resnet_tail
from fl_crafter.models.split import Encoder, SplitModel, freeze
from fl_crafter.training import advlearn, tiprdc
from fl_crafter.training.advlearn import AdvLearnTraining, train_advlearn
from fl_crafter.training.disco import DiscoTraining, set_gradients, train_disco
from fl_crafter.training.loop import Step
from fl_crafter.training.task import attribute_loss
from fl_crafter.training.tiprdc import Game, TiprdcTraining, train_tiprdc
from tests.world import World, build_world, seeded

SIZE, COUNT, PEOPLE = 16, 12, 3
WIDTHS = (4, 6, 8, 8)


class Identity(nn.Module):
    """A body that shows the encoder's preprocessing and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return image * self.scale


class Inverse(nn.Module):
    """The decoder that undoes a preprocessing exactly, and starts there."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.shift = nn.Parameter(torch.zeros(3, 1, 1))

    def forward(self, feature: Tensor) -> Tensor:
        return feature * self.std + self.mean + self.shift


MEAN, STD = 0.3, 0.2


def preprocessing() -> Encoder:
    return Encoder(Identity(), mean=(MEAN,) * 3, std=(STD,) * 3)


def photographs(size: int = SIZE) -> Tensor:
    return torch.randint(0, 256, (COUNT, 3, size, size), dtype=torch.uint8, generator=seeded(1))


def labels() -> Tensor:
    return torch.randint(0, 2, (COUNT, 3), generator=seeded(2)).float()


def people() -> Tensor:
    return torch.arange(COUNT) % PEOPLE


def model() -> SplitModel:
    torch.manual_seed(0)
    made = resnet18_split(attributes=3, widths=WIDTHS)
    return made.train(False)


def pruner() -> ChannelPruner:
    torch.manual_seed(1)
    return ChannelPruner(WIDTHS)


def decoder() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(4, 48, 1), nn.PixelShuffle(4), nn.Sigmoid())


def toy_model() -> SplitModel:
    """Its encoder is nothing but preprocessing."""
    torch.manual_seed(0)
    return SplitModel(preprocessing(), nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 3)))


def weights(module: nn.Module) -> list[Tensor]:
    return [each.detach().clone() for each in module.parameters()]


def changed(before: list[Tensor], module: nn.Module) -> list[bool]:
    return [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]


# --- the decoders use the victim's preprocessing ---------------------------------------------


def test_advlearns_decoder_is_shown_what_the_victim_encodes() -> None:
    inverse = Inverse(MEAN, STD)
    settings = AdvLearnTraining(0.5, rounds=1, phase_steps=1, batch_size=4, learning_rate=1e-9)
    figures = train_advlearn(
        toy_model(), inverse, photographs(), photographs(), labels(), settings=settings
    )
    assert figures["decoder"] < 1e-6 and figures["hidden"] < 1e-6


def test_discos_decoder_is_shown_what_the_victim_encodes() -> None:
    # at ratio 0 the lowest channel is halved, so let the random pruning keep all of them
    settings = DiscoTraining(0.5, ratio=0.0, steps=1, batch_size=4, learning_rate=1e-9)
    inverse = Inverse(MEAN, STD)
    figures = train_disco(toy_model(), None, inverse, photographs(), labels(), settings=settings)
    assert figures["decoder"] < 1e-6


def test_the_black_box_decoder_is_shown_what_the_victim_encodes() -> None:
    encoder = preprocessing()
    freeze(encoder)
    world: World = build_world()
    knowledge = AttackerKnowledge(
        encoder, photographs().float() / 255, world.generator, world.amortiser, Inverse(MEAN, STD)
    )
    _, loss = fine_tune(
        knowledge,
        knowledge.public_image,
        steps=1,
        batch_size=4,
        learning_rate=1e-9,
        random=seeded(),
        title="eavesdropper",
    )
    assert loss < 1e-4


# --- AdvLearn --------------------------------------------------------------------------------


def advlearn_steps(
    monkeypatch: pytest.MonkeyPatch, weight: float
) -> tuple[SplitModel, nn.Module, Step]:
    made, inverse = model(), decoder()
    caught: list[Step] = []

    def catch(step: Step, *_: object, **__: object) -> dict[str, float]:
        caught.append(step)
        return {}

    monkeypatch.setattr(advlearn, "run_training", catch)
    settings = AdvLearnTraining(weight, rounds=1, phase_steps=2, batch_size=8)
    train_advlearn(made, inverse, photographs(), photographs(), labels(), settings=settings)
    return made, inverse, caught[0]


def test_advlearn_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inverse, step = advlearn_steps(monkeypatch, 0.5)
    whole = nn.ModuleList([made.encoder, made.cloud])
    for index, decodes in ((0, True), (1, True), (2, False), (3, False), (4, True)):
        before, seen = weights(whole), weights(inverse)
        figures = step(index)
        assert any(changed(seen, inverse)) == decodes
        assert any(changed(before, whole)) != decodes
        assert figures.keys() == ({"decoder"} if decodes else {"task", "hidden"})
    assert AdvLearnTraining(rounds=1, phase_steps=2).steps == 6


def test_advlearns_encoder_minimises_the_papers_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inverse, step = advlearn_steps(monkeypatch, 0.8)
    step(2)
    image, chosen = advlearn.draw_images(photographs(), 8, random=seeded())
    fresh = model()
    feature = fresh.encoder(image)
    task = F.binary_cross_entropy_with_logits(fresh.cloud(feature), labels()[chosen])
    error = (inverse(feature) - image).square().flatten(1).sum(1) / SIZE**2
    (0.2 * task - 0.8 * error.mean()).backward()
    for wanted, found in zip(fresh.encoder.parameters(), made.encoder.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)


def test_advlearn_hides_from_its_decoder_and_its_decoder_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, inverse, step = advlearn_steps(monkeypatch, 1.0)
    image = photographs().float() / 255

    def error_after(index: int) -> float:
        for _ in range(20):
            step(index)
        with torch.no_grad():
            return float((inverse(made.encoder(image)) - image).square().mean())

    known = error_after(0)
    hidden = error_after(2)
    found = error_after(0)
    assert hidden > 1.2 * known
    assert found < hidden


# --- Disco -----------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.6, 1.0])
def test_every_part_of_disco_gets_its_own_gradient(weight: float) -> None:
    made, own, inverse = model(), pruner(), decoder()
    image, target = photographs().float() / 255, labels()
    set_gradients(
        made, own, inverse, image, target, privacy_weight=weight, ratio=0.5, random=seeded()
    )
    fresh, choosing, seeing = model(), pruner(), decoder()
    feature = fresh.encoder(image)
    mask = channel_mask(choosing(feature.detach()), ratio=0.5)[:, :, None, None]

    def losses(pruned: Tensor) -> tuple[Tensor, Tensor]:
        task = F.binary_cross_entropy_with_logits(fresh.cloud(pruned), target)
        return task, F.mse_loss(seeing(pruned), image)

    def compare(found: nn.Module, loss: Tensor, wanted: nn.Module) -> None:
        gradient = torch.autograd.grad(loss, list(wanted.parameters()), retain_graph=True)
        for each, own in zip(gradient, found.parameters(), strict=True):
            torch.testing.assert_close(own.grad, each, rtol=1e-4, atol=1e-6)

    task, seen = losses(feature * mask.detach())
    compare(made.encoder, task, fresh.encoder)
    compare(made.cloud, task, fresh.cloud)
    compare(inverse, seen, seeing)
    task, seen = losses(feature.detach() * mask)
    compare(own, (1 - weight) * task - weight * seen, choosing)
    assert any(bool(each.grad.any()) for each in own.parameters() if each.grad is not None)


def test_random_pruning_has_no_pruner_and_no_privacy_gradient() -> None:
    results = []
    for weight in (0.2, 0.8):
        made, inverse = model(), decoder()
        settings = DiscoTraining(weight, ratio=0.5, steps=3, batch_size=4)
        train_disco(made, None, inverse, photographs(), labels(), settings=settings)
        results.append(weights(made.encoder))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_masks() -> None:
    score = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 0.1, 0.2, 0.3]])
    mask = channel_mask(score, ratio=0.5)
    torch.testing.assert_close(mask[0], torch.sigmoid(30 * (score[0] - 2)))
    torch.testing.assert_close(mask[1], torch.sigmoid(30 * (score[1] - 0.2)))
    kept = random_mask(500, 4, ratio=0.5, random=seeded())
    assert set(kept.sum(1).tolist()) == {2.0}
    assert bool(((kept.mean(0) - 0.5).abs() < 0.1).all())
    for ratio in (1.0, -0.3):
        with pytest.raises(ValueError, match="ratio"):
            channel_mask(score, ratio=ratio)


# --- TIPRDC ----------------------------------------------------------------------------------


def game(weight: float) -> Game:
    torch.manual_seed(4)
    classifier = resnet_tail(WIDTHS, (2, 2, 2), outputs=PEOPLE)
    critic = InformationCritic(PEOPLE, widths=WIDTHS, hidden=(8, 4))
    return Game(model().encoder, classifier.eval(), critic.eval(), weight)


def test_tiprdcs_encoder_minimises_the_papers_loss() -> None:
    made = game(0.3)
    image, person = photographs().float() / 255, people()
    loss = made.encoder_loss(image, person, random=seeded(5))
    feature = made.encoder(image)
    order = torch.randperm(COUNT, generator=seeded(5))
    scores = [
        made.critic(made.critic.read_image(each), made.critic.read_feature(feature), person)
        for each in (image, image[order])
    ]
    known = -F.softplus(-scores[0]).mean() - F.softplus(scores[1]).mean()
    named = F.cross_entropy(made.classifier(feature), person)
    torch.testing.assert_close(loss, -0.3 * named - 0.7 * known)


def test_the_bound_knows_what_belongs_together() -> None:
    bound = information_bound(torch.full((4,), 9.0), torch.full((4,), -9.0))
    assert float(bound) == pytest.approx(0.0, abs=1e-3)
    nothing = information_bound(torch.zeros(4), torch.zeros(4))
    assert float(nothing) == pytest.approx(-2 * float(torch.log(torch.tensor(2.0))))


def test_tiprdcs_three_parts_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    made, own = model(), game(0.5)
    caught: list[Step] = []

    def catch(step: Step, *_: object, **__: object) -> dict[str, float]:
        caught.append(step)
        return {}

    monkeypatch.setattr(tiprdc, "run_training", catch)
    settings = TiprdcTraining(0.5, 1, 1, 1, batch_size=6)
    train_tiprdc(
        made, own.classifier, own.critic, photographs(), people(), labels(), settings=settings
    )
    parts = {
        "encoder": made.encoder,
        "classifier": own.classifier,
        "critic": own.critic,
        "cloud": made.cloud,
    }
    for index, trains in (
        (0, {"encoder", "classifier"}),
        (1, {"encoder", "classifier", "critic"}),
        (2, {"cloud"}),
    ):
        before = {name: weights(part) for name, part in parts.items()}
        caught[0](index)
        assert {n for n, part in parts.items() if any(changed(before[n], part))} == trains


# --- all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [AdvLearnTraining, DiscoTraining, TiprdcTraining])
def test_a_weight_is_a_share(settings: type) -> None:
    with pytest.raises(InputError, match="privacy_weight is 1.5"):
        settings(1.5)


def test_unknown_attributes_cost_nothing() -> None:
    logits, target = torch.randn(4, 3, generator=seeded()), labels()[:4]
    holes = target.clone()
    holes[1:, 2] = float("nan")
    known = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    kept = torch.cat([known[:, :2].flatten(), known[:1, 2]])
    torch.testing.assert_close(attribute_loss(logits, holes), kept.mean())
    assert float(attribute_loss(logits, torch.full_like(holes, float("nan")))) == 0


def test_disco_leaves_frozen_networks() -> None:
    made, own, inverse = model(), pruner(), decoder()
    before = copy.deepcopy(made.cloud.state_dict())
    settings = DiscoTraining(ratio=0.5, steps=1, batch_size=4)
    train_disco(made, own, inverse, photographs(), labels(), settings=settings)
    for each in (made.encoder, made.cloud, own, inverse):
        assert not each.training
        assert not any(weight.requires_grad for weight in each.parameters())
    statistics = [key for key in before if "running" in key]
    assert statistics
    assert all(torch.equal(before[key], made.cloud.state_dict()[key]) for key in statistics)
