"""What all cells of a grid share: people, models, the eavesdropper's knowledge, judges, attacks."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.accelerator import default_device
from fl_crafter.assets import load_generator
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.queries import features_of
from fl_crafter.attacks.suite import most_queries
from fl_crafter.chunks import in_chunks
from fl_crafter.defences.any_encoder import InOwnShape
from fl_crafter.defences.base import Defence, Protected
from fl_crafter.defences.configured import build_defence
from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.checks import Bounds
from fl_crafter.evaluation.dlib import DlibEvaluator
from fl_crafter.evaluation.evaluator import CallableEvaluator, Evaluator, SFaceEvaluator
from fl_crafter.evaluation.metrics import check_classes, structural_similarity
from fl_crafter.evaluation.oracle import train_oracle
from fl_crafter.evaluation.perception import PerceptualDistance
from fl_crafter.evaluation.truth import PrivateTruth, prepare_truth
from fl_crafter.faces.attributes import listed, places_of
from fl_crafter.faces.open import open_faces
from fl_crafter.faces.record import Faces
from fl_crafter.models.head import with_outputs
from fl_crafter.models.split import SplitModel
from fl_crafter.study.knowledge import (
    QUERY_SHARE,
    RELEARNING,
    attacker_knowledge,
    of_trained,
    scaled,
    with_encoder,
    with_generator,
    with_queries,
)
from fl_crafter.study.named import named_function, named_generator
from fl_crafter.study.photographs import (
    public_photographs,
    restricted,
    sketch,
    spread_over_people,
)
from fl_crafter.study.plan import SHIPPED_SIZE, Plan
from fl_crafter.study.points import Point
from fl_crafter.study.task import victim

CHUNK = 64
ORACLE = "oracle"
PREPARATION = 10**6  # added to a seed, from which victims and attackers draw as it is


@dataclass
class Bench:
    """Everything that cells need, opened once in a process.

    Attributes:
        plan: of the evaluation.
        truth: by evaluator, the main judge first; all of the same test photographs.
        evaluators: by name.
        model: the victim's encoder and the public cloud model.
        public_feature: of the public photographs that the defences have; the eavesdropper queries
            them with others, since a defence that releases something of its own public faces
            treats those unlike a private face.
        knowledge: of an eavesdropper that does not know the defence.
        learnt: what the cloud model learnt from, in words.
        perceptual: distance of images.
        asked: places of the cloud model's outputs that the task asks for; empty: all. `model` has
            no others.
    """

    plan: Plan
    truth: dict[str, PrivateTruth]
    evaluators: dict[str, Evaluator]
    model: SplitModel
    public_feature: Float[Tensor, "count channels rows columns"]
    knowledge: AttackerKnowledge
    learnt: str
    perceptual: PerceptualDistance
    asked: tuple[int, ...] = ()
    _prepared: dict[int, list[Attack]] = field(default_factory=dict)
    _relearnt: dict[str, AttackerKnowledge] = field(default_factory=dict)
    _embedded: dict[str, Tensor] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """Name of the main judge."""
        return next(iter(self.evaluators))

    @property
    def faces(self) -> Faces:
        """The whole dataset."""
        return self.truth[self.main].faces

    @property
    def test(self) -> Int64[Tensor, " tests"]:
        """Positions in `faces` of the test photographs."""
        return self.truth[self.main].test

    @cached_property
    def photographs(self) -> list[float]:
        """What tells the test photographs and the public ones from others; see `sketch`."""
        return sketch(self.faces.image[self.test]) + sketch(self.knowledge.public_image)

    @property
    def identity(self) -> Int64[Tensor, " tests"]:
        """Who is on each test photograph."""
        return self.truth[self.main].identity

    @property
    def bounds(self) -> Bounds:
        """What the checks compare with."""
        raw = self.faces.image[self.test]
        average = self.knowledge.public_image.mean(0).expand_as(raw).cpu()
        like = float(structural_similarity(raw, average).mean())
        return Bounds(self.main, self.plan.kinds(), like, self.identity, Resampling())

    def attacks(self, seed: int) -> list[Attack]:
        """The plan's attacks, with all learnt that needs no transcript."""
        if seed not in self._prepared:
            random = torch.Generator().manual_seed(PREPARATION + seed)
            self._prepared = {
                seed: [a.prepare(self.knowledge, random=random) for a in self.plan.attacks()]
            }
        return self._prepared[seed]

    def defence(self, point: Point) -> Defence:
        """The defence of a point, built from public knowledge."""
        if self.plan.foreign:
            return InOwnShape(point.defence, self.model, self.public_feature, point.settings)
        return build_defence(
            point.defence,
            encoder=self.model.encoder,
            cloud=self.model.cloud,
            public_feature=self.public_feature,
            settings=point.settings,
            weights=Path(point.weights) if point.weights else None,
        )

    def facing(self, defence: Defence, point: Point) -> "Bench":
        """The bench on which a defence stands: with its own encoder and cloud model, if it has any.

        The eavesdropper knows that encoder, and its decoder learns anew from it, on rescaled
        features; knowing the defence, it has the decoder that the defence stores too. The amortiser
        is of another encoder, so that searches over latents start without one.
        """
        if defence.model is None:
            return self
        model = _telling(defence.model, self.asked, self.faces.image[:CHUNK])
        if point.weights not in self._relearnt:
            self._relearnt[point.weights] = of_trained(
                self.knowledge,
                model,
                steps=RELEARNING[self.plan.budget],
                random=torch.Generator().manual_seed(0),
                title=f"decoder of {point.name}",
            )
        known = self._relearnt[point.weights]
        knowledge = dataclasses.replace(known, defence_decoder=defence.decoder)
        return dataclasses.replace(self, model=model, knowledge=knowledge, _prepared={})

    def encode(self, image: Float[Tensor, "count 3 height width"]) -> Tensor:
        """Clean features, where the models compute."""
        return features_of(self.model.encoder, image)

    @property
    def recogniser(self) -> Evaluator | None:
        """The first judge's network that has not met these people, if there is any."""
        return next((e for name, e in self.evaluators.items() if name != ORACLE), None)

    def embedded(
        self, name: str, recogniser: Evaluator, image: Float[Tensor, "count 3 height width"]
    ) -> Tensor:
        """Embeddings of photographs that every cell shares.

        Args:
            name: of these photographs; they are looked at once.
            recogniser: that looks at them.
            image: the photographs.
        """
        if name not in self._embedded:
            self._embedded[name] = recogniser.embed(image)
        return self._embedded[name]

    def predict(self, feature: Float[Tensor, "count channels rows columns"]) -> Tensor:
        """The cloud model's logits, in the processor's memory."""
        return in_chunks(self.model.cloud, feature).cpu()


def protect(
    defence: Defence,
    feature: Float[Tensor, "count channels rows columns"],
    *,
    batch: int,
    random: torch.Generator,
) -> list[Protected]:
    """What a defence releases, batch by batch."""
    return [defence.protect(part, random=random) for part in feature.split(batch)]


def open_bench(plan: Plan) -> Bench:
    """Open data and networks, and let the judges look at the raw photographs.

    Raises:
        InputError: the data, an evaluator or a part of the plan is not as it should be.
    """
    given = {name: _evaluator(name) for name in plan.evaluators if name != ORACLE}
    generator = named_generator(plan.generator, size=plan.size) if plan.generator else None
    faces = open_faces(
        plan.data,
        Path(plan.root) if plan.root else None,
        size=plan.size,
        people=plan.people,
        photos_per_person=plan.photos,
        public=plan.public,
    )
    public = public_photographs(plan, faces)
    held = len(public) - len(public) // QUERY_SHARE
    plan.check_points(faces, public=plan.drawn or held)
    model, learnt = victim(plan, faces, public)
    asked = places_of(listed(plan.attributes), faces.attribute_names, what="--attributes")
    if asked:
        faces, public = faces.with_attributes(asked), public.with_attributes(asked)
        model = _telling(model, asked, public.image[:CHUNK])
    judges = [given.get(name) or train_oracle(faces, model) for name in plan.evaluators]
    evaluators = {judge.name: judge for judge in judges}
    truth = {name: prepare_truth(faces, evaluator=each) for name, each in evaluators.items()}
    first = next(iter(truth.values()))
    chosen = spread_over_people(first.identity, plan.faces)
    check_classes(faces.attributes[first.test[chosen]])  # before attacks that take hours
    device = default_device()
    model = model.to(device)
    known = public.image[:held]
    if plan.drawn:
        known = load_generator().sample(plan.drawn, random=torch.Generator().manual_seed(0))
    feature = features_of(model.encoder, known)
    knowledge = attacker_knowledge(
        public.image,
        device=device,
        public_labels=None if bool(public.attributes.isnan().all()) else public.attributes,
        query_image=public.image[held:],
    )
    knowledge = dataclasses.replace(knowledge, cloud=model.cloud)
    if plan.size != SHIPPED_SIZE and generator is None:
        generator = scaled(knowledge.generator, size=plan.size)
    if plan.foreign:
        knowledge = with_encoder(
            knowledge,
            model.encoder,
            cloud=model.cloud,
            decoder=None if plan.encoder else knowledge.decoder,
            steps=RELEARNING[plan.budget],
            random=torch.Generator().manual_seed(0),
        )
    if generator:
        knowledge = with_generator(knowledge, generator)
    random = torch.Generator().manual_seed(PREPARATION - 1)
    knowledge = with_queries(knowledge, most_queries(plan.attacks()), random=random)
    return Bench(
        plan=plan,
        truth={name: restricted(own, chosen) for name, own in truth.items()},
        evaluators=evaluators,
        model=model,
        public_feature=feature,
        knowledge=knowledge,
        learnt=learnt,
        perceptual=PerceptualDistance(),
        asked=asked,
    )


def _telling(model: SplitModel, asked: tuple[int, ...], image: Tensor) -> SplitModel:
    """The model with what the task asks for as its outputs; some images to try it on."""
    if not asked:
        return model
    feature = features_of(model.encoder, image)
    return SplitModel(model.encoder, with_outputs(model.cloud, asked, feature))


def _evaluator(name: str) -> Evaluator:
    if name == "sface":
        return SFaceEvaluator()
    if name == "dlib":
        return DlibEvaluator()
    function = named_function(name, known="sface, dlib, oracle or ")
    return CallableEvaluator(function, name=name)
