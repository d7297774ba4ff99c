"""`fl-crafter train advlearn|disco|tiprdc`: defences that are trained, to compare with."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fl_crafter.cli import train
from fl_crafter.errors import InputError

if TYPE_CHECKING:
    from fl_crafter.assets.trained import TrainedParts
    from fl_crafter.faces.record import Faces
    from fl_crafter.models.split import SplitModel

FileOption = Annotated[Path, typer.Option(help="File of the weights, ending in .safetensors.")]
PeopleOption = Annotated[
    int | None, typer.Option(min=2, help="Private people; the dataset's number by default.")
]
PublicOption = Annotated[int, typer.Option(min=100, help="Public photographs, at most.")]
SizeOption = Annotated[int, typer.Option(min=32, help="Side of the images in pixels.")]
CheckOption = Annotated[
    int, typer.Option(min=0, help="Updates of the paper's own attacker afterwards; 0 omits it.")
]
WeightOption = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="The paper's parameter; more is more privacy.")
]


def advlearn(
    root: train.RootOption,
    out: FileOption,
    data: train.DataOption = "celeba",
    privacy_weight: WeightOption = 0.5,
    rounds: Annotated[
        int, typer.Option(min=1, help="Turns of decoder and encoder; published 500.")
    ] = 8,
    phase_steps: Annotated[int, typer.Option(min=1, help="Updates in each turn.")] = 100,
    people: PeopleOption = None,
    public: PublicOption = 9000,
    size: SizeOption = 64,
    check_steps: CheckOption = 200,
    seed: train.SeedOption = 0,
) -> None:
    """Train an encoder against the decoder that inverts it (Xiao et al., AAAI 2020)."""
    from fl_crafter.assets.trained import ADVLEARN
    from fl_crafter.faces.record import Role
    from fl_crafter.picture import as_bytes
    from fl_crafter.training.advlearn import AdvLearnTraining, train_advlearn

    settings = AdvLearnTraining(privacy_weight, rounds, phase_steps, seed=seed)
    run = _begin(ADVLEARN, data, root, out, size, people, public, seed, settings)
    private = run.faces.with_role(Role.EVAL_TRAIN)
    decoder = run.parts.decoder
    assert decoder is not None
    figures = train_advlearn(
        run.parts.model,
        decoder,
        as_bytes(run.faces.with_role(Role.PUBLIC).image),
        as_bytes(private.image),
        private.attributes,
        settings=settings,
        checkpoint=run.checkpoint,
    )
    run.end(figures, check_steps=check_steps)


def disco(
    root: train.RootOption,
    out: FileOption,
    data: train.DataOption = "celeba",
    privacy_weight: WeightOption = 0.6,
    ratio: Annotated[float, typer.Option(min=0.0, max=0.999, help="Share to prune.")] = 0.99,
    random_channels: Annotated[
        bool, typer.Option("--random-channels", help="Draw the channels: the paper's control.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Number of updates.")] = 400,
    people: PeopleOption = None,
    public: PublicOption = 9000,
    size: SizeOption = 64,
    check_steps: CheckOption = 200,
    seed: train.SeedOption = 0,
) -> None:
    """Train a pruner of channels against a proxy decoder (Singh et al., CVPR 2021)."""
    import torch

    from fl_crafter.assets.trained import DISCO, DISCO_RANDOM
    from fl_crafter.faces.record import Role
    from fl_crafter.picture import as_bytes
    from fl_crafter.training.disco import DiscoTraining, train_disco

    settings = DiscoTraining(privacy_weight, ratio, steps, seed=seed)
    name = DISCO_RANDOM if random_channels else DISCO
    run = _begin(name, data, root, out, size, people, public, seed, settings)
    known = ~run.faces.attributes.isnan().any(1)
    trains = torch.tensor([role != Role.EVAL_TEST for role in run.faces.role])
    labelled = run.faces.select(known & trains)
    decoder = run.parts.decoder
    assert decoder is not None
    figures = train_disco(
        run.parts.model,
        run.parts.pruner,
        decoder,
        as_bytes(labelled.image),
        labelled.attributes,
        settings=settings,
        checkpoint=run.checkpoint,
    )
    run.end(figures, check_steps=check_steps)


def tiprdc(
    root: train.RootOption,
    out: FileOption,
    data: train.DataOption = "celeba",
    privacy_weight: WeightOption = 0.5,
    classifier_steps: Annotated[
        int, typer.Option(min=1, help="Updates of encoder and classifier before the game.")
    ] = 200,
    steps: Annotated[int, typer.Option(min=1, help="Updates of the game.")] = 150,
    head_steps: Annotated[int, typer.Option(min=1, help="Updates of the cloud model.")] = 200,
    people: PeopleOption = None,
    public: PublicOption = 9000,
    size: SizeOption = 64,
    check_steps: CheckOption = 200,
    seed: train.SeedOption = 0,
) -> None:
    """Train features that keep the image but not the person (Li et al., KDD 2020)."""
    import torch

    from fl_crafter.accelerator import default_device
    from fl_crafter.assets.trained import TIPRDC
    from fl_crafter.faces.record import Role
    from fl_crafter.models.information import InformationCritic
    from fl_crafter.models.resnet import resnet_tail
    from fl_crafter.picture import as_bytes
    from fl_crafter.training.tiprdc import TiprdcTraining, train_tiprdc

    settings = TiprdcTraining(privacy_weight, classifier_steps, steps, head_steps, seed=seed)
    run = _begin(TIPRDC, data, root, out, size, people, public, seed, settings)
    own = run.faces.with_role(Role.EVAL_TRAIN)
    known, person = own.identity.unique(return_inverse=True)
    shape = run.parts.shape
    torch.manual_seed(seed)
    device = default_device()
    figures = train_tiprdc(
        run.parts.model,
        resnet_tail(shape.widths, shape.strides, outputs=len(known)).to(device),
        InformationCritic(len(known), widths=shape.widths, strides=shape.strides).to(device),
        as_bytes(own.image),
        person,
        own.attributes,
        settings=settings,
        checkpoint=run.checkpoint,
    )
    run.end(figures, check_steps=check_steps)


@dataclass(frozen=True)
class _Run:
    parts: "TrainedParts"
    victim: "SplitModel"
    faces: "Faces"
    data: str
    out: Path
    settings: Any

    @property
    def checkpoint(self) -> Path:
        return self.out.with_suffix(".checkpoint")

    def end(self, figures: dict[str, float], *, check_steps: int) -> None:
        """Write weights and card; let the paper's own attacker try."""
        from fl_crafter.accelerator import default_device
        from fl_crafter.defences.configured import build_defence
        from fl_crafter.study.own_attacker import OwnAttacker, own_attacker

        name = self.parts.shape.defence
        self.parts.save(self.out)
        if check_steps:
            defence = build_defence(
                name,
                encoder=self.victim.encoder,
                cloud=self.victim.cloud,
                public_feature=self.faces.image[:0].to(default_device()),
                weights=self.out,
            )
            how = OwnAttacker(steps=check_steps, seed=self.settings.seed)
            found = own_attacker(defence, self.victim, self.faces, how=how)
            figures = figures | found
            for key, value in found.items():
                typer.echo(f"{key} {value:.4f}")
        train.write_card(
            self.out.with_suffix(".md"),
            name,
            f"{len(self.faces)} photographs of {self.data}, public and private, "
            f"{self.parts.shape.image_size} pixels wide: not for shipping",
            self.settings,
            figures,
            data=self.data,
        )


def _begin(
    defence: str,
    data: str,
    root: Path,
    out: Path,
    size: int,
    people: int | None,
    public: int,
    seed: int,
    settings: Any,
) -> _Run:
    import torch

    from fl_crafter.accelerator import default_device
    from fl_crafter.assets import load_encoder
    from fl_crafter.assets.trained import TrainedShape
    from fl_crafter.faces.open import open_faces
    from fl_crafter.faces.record import Role

    if out.suffix != ".safetensors":
        raise InputError(f"{out} must end in .safetensors; name the file of the weights.")
    faces = open_faces(data, root, size=size, people=people, public=public)  # as evaluated
    count = len(faces.attribute_names)
    if not count:
        raise InputError(f"The photographs of {data} lack attributes; take celeba.")
    if Role.PUBLIC not in faces.role:
        raise InputError(f"{data} has no public photographs; the eavesdropper met needs some.")
    device = default_device()
    victim = load_encoder().to(device)
    torch.manual_seed(seed)
    shape = TrainedShape(
        defence,
        count,
        tuple(train.ENCODER["widths"]),
        tuple(train.ENCODER["strides"]),
        settings.privacy_weight,
        getattr(settings, "ratio", 0.0),
        size,
    )
    parts = shape.build()
    parts.model.encoder.load_state_dict(victim.encoder.state_dict())
    start = copy.deepcopy(victim.cloud.state_dict())
    own = parts.model.cloud.state_dict()
    parts.model.cloud.load_state_dict(
        {key: value if value.shape == own[key].shape else own[key] for key, value in start.items()}
    )
    parts.module().to(device)
    return _Run(parts, victim, faces, data, out, settings)


COMMANDS: tuple[Callable[..., None], ...] = (advlearn, disco, tiprdc)
