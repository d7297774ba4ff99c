"""`fl-crafter train`: train the weights that ship with the package, or your own."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fl_crafter.errors import InputError
from fl_crafter.files import write_text

app = typer.Typer(
    no_args_is_help=True, help="Train weights on the public part of a dataset, with resume."
)

DataOption = Annotated[str, typer.Option(help="celeba, lfw, vggface2 or folder.")]
RootOption = Annotated[Path, typer.Option(help="The dataset's folder.")]
OutOption = Annotated[Path, typer.Option(help="Folder of weights, model cards, checkpoints.")]
StepsOption = Annotated[
    int | None, typer.Option(min=1, help="Number of updates; the recipe's by default.")
]
SeedOption = Annotated[int, typer.Option(help="Of initialisation, order and augmentation.")]

OUT = Path("checkpoints")
ENCODER: dict[str, Any] = {"widths": [64, 128, 192, 256], "strides": [2, 2, 1], "dropout": 0.2}
DECODERS: dict[str, dict[str, Any]] = {
    "decoder": {"channels": 64, "widths": [128, 64, 32], "blocks": 1},
    "eavesdropper_decoder": {"channels": 64, "widths": [80, 48, 32], "blocks": 1, "shuffle": True},
}


@app.command()
def encoder(
    root: RootOption,
    data: DataOption = "celeba",
    out: OutOption = OUT,
    steps: StepsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Train the encoder and its cloud model on public attributes."""
    import torch

    from fl_crafter.accelerator import default_device
    from fl_crafter.assets.store import save_asset, split_module
    from fl_crafter.models.resnet import resnet18_split
    from fl_crafter.training.encoder import EncoderTraining, train_encoder

    images, faces = _public(data, root)
    attributes = faces.attributes
    if not attributes.shape[1] or bool(attributes.isnan().any()):
        raise InputError(f"The public photographs of {data} lack attributes; take celeba.")
    settings = EncoderTraining(seed=seed) if steps is None else EncoderTraining(steps, seed=seed)
    architecture = {"attributes": attributes.shape[1], **ENCODER}
    torch.manual_seed(seed)
    model = resnet18_split(**_tuples(architecture)).to(default_device())
    trained, figures = train_encoder(
        model, images, attributes, settings=settings, checkpoint=out / "encoder.checkpoint"
    )
    save_asset(out, "encoder", split_module(trained), architecture=architecture)
    _write_card(out, "encoder", data, len(images), settings, figures)


@app.command()
def prior(
    root: RootOption,
    data: DataOption = "celeba",
    shape: Annotated[
        str, typer.Option(help="shipped, or the paper's g1 or g2, of 500 latent dimensions.")
    ] = "shipped",
    out: OutOption = OUT,
    steps: StepsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Train the generator of public faces; its perceptual loss needs a trained encoder."""
    import dataclasses

    import torch

    from fl_crafter.accelerator import default_device
    from fl_crafter.assets import load_encoder, save_asset
    from fl_crafter.models.generator import SHAPES, Generator
    from fl_crafter.training.prior import PriorTraining, train_prior

    if shape not in SHAPES:
        raise InputError(f"There is no shape '{shape}'; choose from {', '.join(SHAPES)}.")
    images, _ = _public(data, root)
    settings = PriorTraining(seed=seed) if steps is None else PriorTraining(steps, seed=seed)
    torch.manual_seed(seed)
    device = default_device()
    generator, figures = train_prior(
        Generator(SHAPES[shape]).to(device),
        load_encoder(_weights(out, "encoder")).to(device),
        images,
        settings=settings,
        checkpoint=out / "prior.checkpoint",
    )
    save_asset(out, "generator", generator, architecture=dataclasses.asdict(SHAPES[shape]))
    _write_card(out, "generator", data, len(images), settings, figures)


@app.command()
def decoder(
    root: RootOption,
    name: Annotated[str, typer.Option(help=" or ".join(DECODERS))] = "decoder",
    data: DataOption = "celeba",
    out: OutOption = OUT,
    steps: StepsOption = None,
    seed: SeedOption = 1,
) -> None:
    """Train a black-box decoder of the encoder's features."""
    import torch

    from fl_crafter.accelerator import default_device
    from fl_crafter.assets import load_encoder, save_asset
    from fl_crafter.models.decoder import ConvolutionalDecoder
    from fl_crafter.training.decoder import DecoderTraining, train_decoder

    if name not in DECODERS:
        raise InputError(f"There is no decoder '{name}'; choose from {', '.join(DECODERS)}.")
    images, _ = _public(data, root)
    settings = DecoderTraining(seed=seed) if steps is None else DecoderTraining(steps, seed=seed)
    torch.manual_seed(seed)
    device = default_device()
    trained, figures = train_decoder(
        ConvolutionalDecoder(**_tuples(DECODERS[name])).to(device),
        load_encoder(_weights(out, "encoder")).encoder.to(device),
        images,
        settings=settings,
        checkpoint=out / f"{name}.checkpoint",
        title=name,
    )
    save_asset(out, name, trained, architecture=DECODERS[name])
    _write_card(out, name, data, len(images), settings, figures)


@app.command()
def amortiser(
    root: RootOption,
    data: DataOption = "celeba",
    out: OutOption = OUT,
    steps: StepsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Train the amortiser, which guesses latents from features."""
    import torch

    from fl_crafter.accelerator import default_device
    from fl_crafter.assets import load_encoder, load_generator, save_asset
    from fl_crafter.models.amortiser import Amortiser
    from fl_crafter.training.decoder import AmortiserTraining, train_amortiser

    images, _ = _public(data, root)
    device = default_device()
    generator = load_generator(_weights(out, "generator")).to(device)
    settings = (
        AmortiserTraining(seed=seed) if steps is None else AmortiserTraining(steps, seed=seed)
    )
    torch.manual_seed(seed)
    trained, figures = train_amortiser(
        Amortiser(generator.latent_size).to(device),
        generator,
        load_encoder(_weights(out, "encoder")).encoder.to(device),
        images,
        settings=settings,
        checkpoint=out / "amortiser.checkpoint",
    )
    save_asset(out, "amortiser", trained, architecture={"latent_size": generator.latent_size})
    _write_card(out, "amortiser", data, len(images), settings, figures)


def _tuples(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in arguments.items()}


def _weights(out: Path, name: str) -> Path | None:
    """The folder being trained in if it has the weights already, else the shipped ones."""
    return out if (out / f"{name}.safetensors").is_file() else None


def _public(data: str, root: Path) -> tuple[Any, Any]:
    """All public photographs as bytes, and their record."""
    from fl_crafter.faces.open import open_faces
    from fl_crafter.faces.record import Role
    from fl_crafter.picture import as_bytes

    # the usual number of private people stays out; two photographs are the fewest a reader takes
    faces = open_faces(data, root, size=64, photos_per_person=2).with_role(Role.PUBLIC)
    if not len(faces):
        raise InputError(f"{data} in {root} has no public photographs; take another dataset.")
    return as_bytes(faces.image), faces


def _write_card(
    out: Path, name: str, data: str, images: int, settings: Any, figures: dict[str, float]
) -> None:
    """A model card beside shipped weights."""
    photographs = f"{images} public photographs of {data}, 64x64 pixels; nobody private is on them"
    write_card(out / f"{name}.md", name, photographs, settings, figures, data=data)


def write_card(
    path: Path,
    name: str,
    photographs: str,
    settings: Any,
    figures: dict[str, float],
    *,
    data: str,
) -> None:
    """A model card beside the weights: data, settings, last figures, versions and commit."""
    import dataclasses

    import torch

    from fl_crafter.machine import commit

    lines = [
        f"# {name}",
        "",
        f"- data: {photographs}",
        f"- command: `fl-crafter train` with {json.dumps(dataclasses.asdict(settings))}",
        f"- last training figures: {json.dumps({k: round(v, 5) for k, v in figures.items()})}",
        f"- commit: {commit() or 'installed package'}",
        f"- torch {torch.__version__}, {platform.machine()}, {datetime.now(UTC).date()}",
    ]
    if data == "celeba":
        lines.append("- terms: CelebA, non-commercial research only, no redistribution of images")
    write_text(path, "\n".join(lines) + "\n")
    typer.echo(f"{path.with_suffix('.safetensors')} and {path}")
