"""Linkability: can an upload be tied to a person, though no face can be seen in it?

The attacker has met the people before: it holds other photographs of each, with names. Most of its
classifiers protect these with the victim's defence; others only ask a face recogniser about them,
and learn from public faces what it would say. That is more than the threat model grants, and no
upper bound: who inverts and recognises the picture links too, and other classifiers may do better.
What the shared labels alone give is a floor: a defence of features cannot go below it.

The recogniser is the network of a judge that has not met these people. It judges nothing here:
whether a name is right, the dataset says.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.attacks.linear_linking import DiscriminantAnalysis, EmbeddingRegression
from fl_crafter.attacks.linking import FeatureClassifier, GalleryMatching, LabelClassifier
from fl_crafter.evaluation.cell import Guess, guess
from fl_crafter.evaluation.collect import (
    AND_ALBUM,
    BY_ALBUM,
    FUSED,
    LABELS,
    OUTPUTS,
    OUTPUTS_AND_LABELS,
    RELEASED,
)
from fl_crafter.evaluation.evaluator import Evaluator
from fl_crafter.evaluation.metrics import ranks_of
from fl_crafter.faces.record import Role
from fl_crafter.study.bench import Bench

PHOTOS = {"smoke": 1, "cpu": 4, "gpu": 24}  # of each person that the attacker has met
QUERIES = {"smoke": 8, "cpu": 600, "gpu": 4000}  # public faces that are protected
FACES = {"smoke": 32, "cpu": 9000, "gpu": 9000}  # public faces whose outputs are asked for
WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)  # of the feature's word beside the labels'
FOLDS = 4


def measure_linkability(
    bench: Bench,
    released: Tensor,
    *,
    known: Int64[Tensor, " known"],
    clean: Float[Tensor, "known channels rows columns"],
    theirs: Float[Tensor, "known channels rows columns"],
    knowledge: AttackerKnowledge,
    random: torch.Generator,
) -> dict[str, Guess]:
    """By evidence, how well it names the people on the test photographs.

    Args:
        bench: of the grid.
        released: what the victim's defence released of the test photographs.
        known: positions in the dataset of the photographs that the attacker has.
        clean: their features.
        theirs: what the same defence makes of those in the attacker's hands.
        knowledge: of the adaptive eavesdropper, whose public faces they are.
        random: of the classifiers.
    """
    person = bench.faces.identity[known]
    labels = bench.faces.attributes
    by_label = LabelClassifier().fit(labels[known], person, random=random)
    by_release = FeatureClassifier().fit(theirs, person, random=random)
    label_score = by_label.score(labels[bench.test]).log_softmax(1)
    release_score = by_release.score(released).log_softmax(1).cpu()
    weight = _weight_of_features(theirs, labels[known], person, random=random)
    by_clean = FeatureClassifier().fit(clean, person, random=random)
    scores = {
        LABELS: label_score,
        RELEASED: release_score,
        FUSED: weight * release_score + label_score,
        "released features, known by clean ones": by_clean.score(released).log_softmax(1).cpu(),
        "nearest released feature": GalleryMatching()
        .fit(theirs, person, random=random)
        .score(released)
        .cpu(),
    }
    if len(known) > len(by_label.people):  # otherwise nothing tells which numbers are steady
        met, seen = bench.predict(theirs), bench.predict(released)
        numbers = {
            OUTPUTS: (met, seen),
            OUTPUTS_AND_LABELS: (
                torch.cat([met, labels[known]], 1),
                torch.cat([seen, labels[bench.test]], 1),
            ),
        }
        for evidence, (fitted, asked) in numbers.items():
            linking = DiscriminantAnalysis().fit(fitted, person, random=random)
            scores[evidence] = linking.score(asked).log_softmax(1)
    if bench.recogniser is not None:
        album = bench.embedded("known", bench.recogniser, bench.faces.image[known])
        for evidence, rows, embedding, asked in _told(bench, released, knowledge, bench.recogniser):
            looking = EmbeddingRegression(rows, embedding).fit(album, person, random=random)
            scores[evidence + BY_ALBUM] = looking.score(asked).log_softmax(1)
            if evidence == OUTPUTS_AND_LABELS and evidence in scores:
                scores[evidence + AND_ALBUM] = scores[evidence] + scores[evidence + BY_ALBUM]
    people, place = by_label.people, bench.identity
    column = torch.searchsorted(people, place)
    return {evidence: guess(ranks_of(own), own, column) for evidence, own in scores.items()}


def _told(
    bench: Bench, released: Tensor, knowledge: AttackerKnowledge, recogniser: Evaluator
) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """Evidence, its rows of public faces with their embeddings, and its rows of the test faces."""
    queries = knowledge.query(images=QUERIES[bench.plan.budget])
    seen = bench.embedded("queried", recogniser, queries.image)
    yield RELEASED, queries.released, seen, released
    public = knowledge.public_image[: FACES[bench.plan.budget]]
    seen = bench.embedded("public", recogniser, public)
    # a defence that serves the task keeps its outputs: those of clean faces stand for them
    said, asked = bench.predict(bench.encode(public)), bench.predict(released)
    yield OUTPUTS, said, seen, asked
    labels, own = knowledge.public_labels, bench.faces.attributes[bench.test]
    if labels is not None and labels.shape[1] == own.shape[1]:
        rows = torch.cat([said, labels[: len(said)]], 1)
        yield OUTPUTS_AND_LABELS, rows, seen, torch.cat([asked, own], 1)


def _weight_of_features(
    theirs: Float[Tensor, "known channels rows columns"],
    labels: Float[Tensor, "known attributes"],
    person: Int64[Tensor, " known"],
    *,
    random: torch.Generator,
) -> float:
    """How much the feature's word is worth, by holding out each photograph of a person in turn.

    A classifier of few, high-dimensional features is surer than it is right, and would shout the
    labels down; a gain that chance explains is none. With one photograph of each person nothing can
    be held out, and both count the same.
    """
    turn = _turns(person)
    folds = int(turn.max()) + 1
    if folds < 2:
        return 1.0
    loss: dict[float, list[Tensor]] = {weight: [] for weight in WEIGHTS}
    for fold in range(min(folds, FOLDS)):
        held = turn % FOLDS == fold
        by_label = LabelClassifier().fit(labels[~held], person[~held], random=random)
        by_release = FeatureClassifier().fit(theirs[~held], person[~held], random=random)
        label_score = by_label.score(labels[held]).log_softmax(1)
        release_score = by_release.score(theirs[held]).log_softmax(1).cpu()
        known = torch.isin(person[held], by_label.people)
        column = torch.searchsorted(by_label.people, person[held])
        for weight, rows in loss.items():
            fused = (weight * release_score + label_score)[known]
            rows.append(F.cross_entropy(fused, column[known], reduction="none"))
    joined = {weight: torch.cat(rows) for weight, rows in loss.items()}
    best = min(joined, key=lambda weight: float(joined[weight].mean()))
    gain = joined[0.0] - joined[best]
    return best if float(gain.mean()) > 2 * float(gain.std()) / len(gain) ** 0.5 else 0.0


def known_photographs(bench: Bench) -> Tensor:
    """Positions in the dataset of the photographs that the attacker has: none of them is tested."""
    train = torch.tensor([role == Role.EVAL_TRAIN for role in bench.faces.role]).nonzero().flatten()
    return train[_turns(bench.faces.identity[train]) < PHOTOS[bench.plan.budget]]


def _turns(person: Int64[Tensor, " count"]) -> Int64[Tensor, " count"]:
    """Of each photograph, how many of its person came before."""
    seen, turns = dict[int, int](), []
    for own in person.tolist():
        turns.append(seen.get(own, 0))
        seen[own] = turns[-1] + 1
    return torch.tensor(turns)
