"""A bench in the small world: people who are a pattern each, and a judge that sees pixels."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.black_box import BlackBoxDecoder
from fl_crafter.attacks.pixels import WhiteBoxPixels
from fl_crafter.evaluation.evaluator import CallableEvaluator
from fl_crafter.evaluation.perception import PerceptualDistance
from fl_crafter.evaluation.truth import prepare_truth
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.split import SplitModel
from fl_crafter.study.bench import Bench
from fl_crafter.study.plan import Plan
from tests.world import World, build_world, pictures, seeded

PEOPLE, PHOTOS, PUBLIC = 12, 4, 300


@dataclass(frozen=True)
class SmallPlan(Plan):
    """The standard suite's kinds of attack, as strong as the small world takes."""

    def attacks(self) -> list[Attack]:
        training = {"steps": 120, "batch_size": 16, "learning_rate": 2e-2}
        return [BlackBoxDecoder(**training), AdaptiveDecoder(**training), WhiteBoxPixels(steps=60)]


def planted_people() -> Faces:
    """Patterns with a little noise; half of each person's photographs are for the gallery."""
    pattern = pictures(PEOPLE, seed=11)
    image = [
        (0.9 * pattern + 0.1 * torch.rand(pattern.shape, generator=seeded(photo)))
        for photo in range(PHOTOS)
    ]
    role = [Role.EVAL_TRAIN if photo < PHOTOS // 2 else Role.EVAL_TEST for photo in range(PHOTOS)]
    count = PEOPLE * PHOTOS
    return Faces(
        name="planted",
        image=torch.cat([*image, pictures(PUBLIC, seed=12)]),
        identity=torch.cat([torch.arange(PEOPLE).repeat(PHOTOS), torch.full((PUBLIC,), 99)]),
        attributes=torch.randint(2, (count + PUBLIC, 3), generator=seeded(3)).float(),
        attribute_names=("a", "b", "c"),
        role=tuple([each for each in role for _ in range(PEOPLE)] + [Role.PUBLIC] * PUBLIC),
    )


def pixels(image: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(image, 4).flatten(1) - 0.5


@pytest.fixture(scope="session")
def world() -> World:
    return build_world()


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    def make(**changes: object) -> Plan:
        known: dict[str, object] = {
            "data": "planted",
            "root": "",
            "people": PEOPLE,
            "photos": PHOTOS,
            "faces": 0,
            "public": PUBLIC,
            "defences": "none,noise:1",
            "suite": "standard",
            "budget": "smoke",
            "seeds": (0,),
            "evaluators": ("pixels",),
        }
        return SmallPlan(**known | changes)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def bench(world: World, make_plan: Callable[..., Plan]) -> Bench:
    faces = planted_people()
    judge = CallableEvaluator(pixels, name="pixels")
    public = faces.with_role(Role.PUBLIC)
    with torch.no_grad():
        feature = world.encoder(public.image)
    return Bench(
        plan=make_plan(),
        truth={"pixels": prepare_truth(faces, evaluator=judge)},
        evaluators={"pixels": judge},
        model=SplitModel(world.encoder, world.cloud),
        public_feature=feature,
        knowledge=AttackerKnowledge(
            encoder=world.encoder,
            public_image=public.image,
            public_labels=public.attributes,
            generator=world.generator,
            amortiser=world.amortiser,
            decoder=world.decoder,
            cloud=world.cloud,
        ),
        learnt="public pictures",
        perceptual=PerceptualDistance(),
    )


@pytest.fixture
def labelled(bench: Bench) -> Bench:
    """Everybody's labels are the binary digits of their number, but for one of the twelve."""
    truth = bench.truth["pixels"]
    faces = truth.faces
    digits = torch.stack([(faces.identity >> bit) & 1 for bit in range(3)], 1).float()
    truth = dataclasses.replace(truth, faces=dataclasses.replace(faces, attributes=digits))
    fields = {each.name: getattr(bench, each.name) for each in dataclasses.fields(Bench)}
    return Bench(**fields | {"truth": {"pixels": truth}})
