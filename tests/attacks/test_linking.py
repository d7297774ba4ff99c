"""Linking: known people are told by their features or labels; who has none is not told."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.linear_linking import DiscriminantAnalysis, EmbeddingRegression
from fl_crafter.attacks.linking import (
    CandidateCrafting,
    FeatureClassifier,
    GalleryMatching,
    LabelClassifier,
    Linker,
    candidates,
)
from tests.attacks.planted import Mixing, one_for_all
from tests.world import World, pictures, seeded

PEOPLE, PHOTOS = 8, 6


def photographs(seed: int) -> tuple[Tensor, Tensor]:
    """Pictures of people, who are pictures themselves, each photograph a little different."""
    person = torch.arange(PEOPLE).repeat_interleave(PHOTOS)
    noise = 0.1 * torch.randn(PEOPLE * PHOTOS, 3, 1, 1, generator=seeded(seed))
    return (pictures(PEOPLE, seed=40)[person] + noise).clamp(0, 1), person * 10


def top1(linker: Linker, known: Tensor, asked: Tensor) -> float:
    _, person = photographs(0)
    linking = linker.fit(known, person, random=seeded())
    assert linking.people.tolist() == [10 * each for each in range(PEOPLE)]
    score = linking.score(asked)
    assert score.shape == (len(asked), PEOPLE) and bool(score.isfinite().all())
    return float((linking.people[score.argmax(1)] == person).float().mean())


def labels(seed: int) -> Tensor:
    """Eight attributes, each wrong once in ten times, or not shared."""
    _, person = photographs(0)
    own = torch.randint(2, (PEOPLE, 8), generator=seeded(3)).float()[person // 10]
    wrong = torch.rand(own.shape, generator=seeded(seed)) < 0.1
    missing = torch.rand(own.shape, generator=seeded(seed + 50)) < 0.1
    return torch.where(wrong, 1 - own, own).masked_fill(missing, torch.nan)


@pytest.mark.parametrize("linker", [FeatureClassifier(components=16), GalleryMatching()])
def test_features_name_people(world: World, linker: Linker) -> None:
    known, asked = (world.encoder(photographs(seed)[0]) for seed in (1, 2))
    assert top1(linker, known, asked) > 0.9
    mixing = Mixing()
    assert top1(linker, mixing(known), mixing(asked)) > 0.9


@pytest.mark.parametrize("linker", [FeatureClassifier(components=16), GalleryMatching()])
def test_one_feature_for_all_names_nobody(world: World, linker: Linker) -> None:
    known, asked = (one_for_all(world.encoder(photographs(seed)[0])) for seed in (1, 2))
    assert top1(linker, known, asked) == pytest.approx(1 / PEOPLE)


def test_labels_alone_name_people() -> None:
    assert top1(LabelClassifier(), labels(1), labels(2)) > 0.6
    unknown = torch.full_like(labels(2), torch.nan)
    assert top1(LabelClassifier(), labels(1), unknown) == pytest.approx(1 / PEOPLE)


def test_discriminant_analysis_finds_the_steady_numbers() -> None:
    """Two of twelve numbers tell the person, drowned by ten louder ones that change every time."""
    _, person = photographs(0)
    own = torch.randn(PEOPLE, 2, generator=seeded(4))[person // 10]

    def rows(seed: int) -> Tensor:
        loud = torch.randn(len(person), 10, generator=seeded(seed))
        return torch.cat([own + 0.02 * loud[:, :2], 10 * loud], 1)

    known, asked = rows(1), rows(2)
    assert top1(DiscriminantAnalysis(), known, asked) > 0.9
    assert top1(GalleryMatching(), known, asked) < 0.5
    known[::7, 0], asked[::5, 0] = torch.nan, torch.nan
    assert top1(DiscriminantAnalysis(), known, asked) > 0.6
    both = DiscriminantAnalysis().fit(rows(1)[:12], person[:12], random=seeded())
    assert bool((both.people[both.score(rows(2)[:12]).argmax(1)] == person[:12]).all()), "of two"
    with pytest.raises(ValueError, match="two rows"):
        DiscriminantAnalysis().fit(known[:3], torch.arange(3), random=seeded())


def test_a_recogniser_names_people_by_plain_photographs(world: World) -> None:
    """Nothing of theirs went through the defence: public pictures tell what it does to pixels."""

    def embed(image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image, 4).flatten(1) - 0.5

    public, (album, _), (asked, _) = pictures(300, seed=41), photographs(1), photographs(2)
    mixing = Mixing()
    linker = EmbeddingRegression(mixing(world.encoder(public)), embed(public))
    assert top1(linker, embed(album), mixing(world.encoder(asked))) > 0.9
    nothing = EmbeddingRegression(one_for_all(world.encoder(public)), embed(public))
    asked_nothing = one_for_all(world.encoder(asked))
    assert top1(nothing, embed(album), asked_nothing) == pytest.approx(1 / PEOPLE)
    one_number = EmbeddingRegression(embed(public)[:, :1], embed(public))
    assert top1(one_number, embed(album), embed(asked)[:, :1]) > 3 / PEOPLE
    known_of_some = world.encoder(public).masked_fill(
        torch.rand(300, 1, 1, 1, generator=seeded(4)) < 0.1, torch.nan
    )
    assert top1(replace(linker, rows=known_of_some), embed(album), world.encoder(asked)) > 0.9


@pytest.mark.parametrize(("release", "least", "most"), [(Mixing(), 0.9, 1), (one_for_all, 0, 0.2)])
def test_candidates_are_protected_too(
    world: World, release: Callable[[Tensor], Tensor], least: float, most: float
) -> None:
    linker = CandidateCrafting(encoder=world.encoder, release=release)
    known, _ = photographs(1)
    asked = release(world.encoder(photographs(2)[0]))
    assert least <= top1(linker, known, asked) <= most


def test_more_draws_see_through_randomness(world: World) -> None:
    source = seeded(9)

    def release(feature: Tensor) -> Tensor:
        """Turns the feature by a random number of channels."""
        return feature.roll(int(torch.randint(4, (1,), generator=source)), 1)

    known, _ = photographs(1)
    asked = release(world.encoder(photographs(2)[0]))
    once, often = (
        top1(CandidateCrafting(world.encoder, release, draws=draws), known, asked)
        for draws in (1, 24)
    )
    assert often > 0.9 and often >= once


def test_the_seed_decides(world: World) -> None:
    image, person = photographs(1)
    feature = world.encoder(image)
    scores = [
        FeatureClassifier(components=8).fit(feature, person, random=seeded()).score(feature)
        for _ in range(2)
    ]
    assert torch.equal(*scores)


def test_people_that_cannot_be_told_apart_are_refused() -> None:
    alone = torch.zeros(4, dtype=torch.int64)
    for linker in (FeatureClassifier(), LabelClassifier(), GalleryMatching()):
        with pytest.raises(ValueError, match="two people or more"):
            linker.fit(torch.zeros(4, 5), alone, random=seeded())
    with pytest.raises(ValueError, match="one for each row"):
        candidates(torch.zeros(4, 5), torch.arange(3))
