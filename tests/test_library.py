"""The public surface: small, lazy, and enough to protect images with any encoder in a few lines."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import fl_crafter
from fl_crafter import (
    AdaptedGenerator,
    InputError,
    Protector,
    SplitModel,
    cut,
    load_encoder,
    load_generator,
    protect,
    read_images,
)
from fl_crafter._torchvision import torchvision
from fl_crafter.defences.crafter.crafter import CrafterSettings
from fl_crafter.defences.undefended import Undefended
from fl_crafter.faces.celeba import ATTRIBUTES
from fl_crafter.models.backbone import IMAGENET_MEAN, IMAGENET_STD

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"ray", "flwr", "torch", "torchvision", "typer"}


def loaded_by(code: str) -> set[str]:
    """Which heavy packages a new interpreter has imported after `code`."""
    show = f"{code}\nimport sys; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_is_free() -> None:
    assert loaded_by("import fl_crafter") == set()


def test_protecting_takes_neither_flower_nor_ray() -> None:
    assert loaded_by("from fl_crafter import cut, protect") <= {"torch", "torchvision"}


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    assert dir(fl_crafter) == sorted(fl_crafter.__all__)
    for name in fl_crafter.__all__:
        assert getattr(fl_crafter, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'craft'"):
        fl_crafter.craft  # noqa: B018


@pytest.fixture(scope="module")
def faces() -> Tensor:
    return load_generator().sample(70, random=torch.Generator().manual_seed(5))


def photograph(path: Path, face: Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((face.permute(1, 2, 0) * 255).round().byte().numpy()).save(path)
    return path


def test_images_are_the_same_however_they_come(faces: Tensor, tmp_path: Path) -> None:
    ann = photograph(tmp_path / "ann" / "1.png", faces[0])
    bob = photograph(tmp_path / "bob" / "1.png", faces[1])
    photograph(tmp_path / ".hidden" / "1.png", faces[2])
    (tmp_path / "notes.txt").write_text("no photograph")
    wanted = read_images((faces[:2] * 255).round().byte())
    for given in (tmp_path, str(tmp_path), [ann, str(bob)], [Image.open(ann), bob]):
        assert torch.equal(read_images(given, size=64), wanted)  # type: ignore[arg-type]
    for given in (ann, Image.open(ann), wanted[0]):
        assert torch.equal(read_images(given, size=64), wanted[:1])


@pytest.mark.parametrize(
    ("images", "size", "named"),
    [
        (torch.zeros(2, 1, 64, 64), 64, "[2, 1, 64, 64]"),
        (torch.zeros(0, 3, 64, 64), 64, "[0, 3, 64, 64]"),
        (torch.zeros(1, 3, 32, 32), 64, "32 x 32"),
        (torch.full((1, 3, 64, 64), 2.0), 64, "2 to 2"),
        (torch.full((1, 3, 64, 64), float("nan")), 64, "nan"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.int64), 64, "int64"),
        ([], 64, "empty"),
        ("nowhere", 64, "nowhere"),
        (Image.new("RGB", (8, 8)), None, "size"),
    ],
)
def test_wrong_images_get_one_sentence(images: Any, size: int | None, named: str) -> None:
    with pytest.raises(InputError) as caught:
        read_images(images, size=size)
    assert named in str(caught.value)


@pytest.fixture(scope="module")
def shipped(faces: Tensor) -> Protector:
    return Protector(public=faces[6:], seed=0, steps=3)


def test_three_lines_with_the_shipped_encoder(faces: Tensor, shipped: Protector) -> None:
    protected = shipped(faces[:2])
    with torch.no_grad():
        clean = load_encoder().encoder(faces[:2])
    assert protected.feature.shape == clean.shape
    assert float((protected.feature - clean).abs().mean()) > 0.1


def test_only_what_is_kept_is_looked_at(faces: Tensor) -> None:
    names = ("Smiling", "Eyeglasses")
    shipped = load_encoder()
    places = [np.int64(ATTRIBUTES.index(name)) for name in names]
    by_name = protect(faces[:2], public=faces[6:], keep=names, seed=0, steps=3)
    by_place = protect(faces[:2], shipped, public=faces[6:], keep=places, seed=0, steps=3)
    whole = protect(faces[:2], public=faces[6:], seed=0, steps=3)
    rest, same = (
        float((each.feature - by_name.feature).abs().mean()) for each in (whole, by_place)
    )
    assert rest > 0.05 > 10 * same


def test_a_release_is_not_repeatable_unless_asked(faces: Tensor) -> None:
    def noisy(**options: Any) -> Tensor:
        model = load_encoder()
        return protect(faces[:2], model, public=faces[6:], defence="noise", **options).feature

    assert torch.equal(noisy(seed=1), noisy(seed=1))
    assert not torch.equal(noisy(), noisy())
    protector = Protector(load_encoder(), public=faces[6:], defence="noise", seed=1)
    assert not torch.equal(protector(faces[:2]).feature, protector(faces[:2]).feature)


MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def whole_model() -> nn.Module:
    """The shipped network in one piece, as a user has theirs; it takes normalised images."""
    model = load_encoder()
    encoder: Any = model.encoder
    return nn.Sequential(encoder.body, model.cloud)


class Untraceable(nn.Module):
    """Its way depends on its input."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = whole_model()

    def forward(self, image: Tensor) -> Tensor:
        if float(image.mean()) > 1e9:
            raise AssertionError
        return self.whole(image)


@pytest.mark.parametrize(
    ("layer", "hooks"), [("1.0", False), ("1.1", False), ("1.4", False), ("1.1", True)]
)
def test_crafting_works_at_any_cut(layer: str, hooks: bool, faces: Tensor) -> None:
    """Maps of other shapes and a vector, of other scales: the task is served, the face replaced."""
    if hooks:
        model = cut(Untraceable(), f"whole.{layer}", mean=MEAN, std=STD, size=64)
    else:
        model = cut(whole_model(), layer, mean=MEAN, std=STD)
    protector = Protector(model, public=faces[:64], seed=0)
    private = faces[64:]
    clean = protector.encode(private)
    assert len(clean.shape) == (2 if layer == "1.4" else 4)
    with torch.no_grad():
        wanted = load_encoder().logits(private)
        torch.testing.assert_close(model.cloud(clean), wanted, rtol=1e-3, atol=1e-3)
        spread = load_encoder().logits(faces[:64]).std(0)
        released = protector(private).feature
        served = ((model.cloud(released) - wanted) / spread).square().mean()
    assert released.shape == clean.shape
    assert float(served) < 0.2, "of the variance of the outputs over public faces"
    similar = nn.functional.cosine_similarity
    shift = clean.flatten(1) - clean.flatten(1).mean(0)
    left = released.flatten(1) - released.flatten(1).mean(0)
    assert not torch.equal(released, clean) and float(similar(shift, left).mean()) < 0.95


def test_the_scale_of_the_features_does_not_matter(faces: Tensor) -> None:
    model = load_encoder()

    class Times(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, value: Tensor) -> Tensor:
            return value * self.factor

    small, large = (
        SplitModel(
            nn.Sequential(model.encoder, Times(unit)), nn.Sequential(Times(1 / unit), model.cloud)
        )
        for unit in (0.01, 100.0)
    )
    one, other = (
        protect(faces[64:66], each, public=faces[:64], steps=5, seed=0) for each in (small, large)
    )
    torch.testing.assert_close(one.feature * 100, other.feature / 100, rtol=1e-2, atol=1e-2)
    losses = [each.figures["utility_loss"] for each in (one, other)]
    assert losses[0] * 1e4 == pytest.approx(losses[1] / 1e4, rel=1e-2), "in the features' own units"


def test_a_torchvision_network_and_any_generator(faces: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator = AdaptedGenerator(
        nn.Sequential(nn.Linear(8, 3 * 64 * 64), nn.Tanh(), nn.Unflatten(1, (3, 64, 64))),
        latent_shape=(8,),
        low=-1.0,
    )
    photograph(tmp_path / "ann" / "1.png", faces[0])
    model = cut(network, "layer2", mean=IMAGENET_MEAN, std=IMAGENET_STD)
    for public in (generator, faces[:64]):
        released = protect(tmp_path, model, public=public, steps=1, size=64).feature
        assert released.shape == (1, 128, 8, 8) and bool(released.isfinite().all())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training, "the user's network stays as it is"


def headless() -> SplitModel:
    model = load_encoder()
    return SplitModel(model.encoder, nn.Identity())


@pytest.mark.parametrize(
    ("model", "options", "named"),
    [
        (lambda: nn.Identity(), {}, "cut(model, layer)"),
        (load_encoder, {}, "public is missing"),
        (load_encoder, {"public": nn.Linear(2, 2)}, "AdaptedGenerator"),
        (load_encoder, {"public": torch.rand(8, 3, 64, 64)}, "8 images"),
        (load_encoder, {"defence": "crafter_published"}, "'crafter_published'"),
        (headless, {"public": torch.rand(64, 3, 64, 64)}, "head"),
        (lambda: None, {"defence": "blur"}, "'blur'"),
        (lambda: None, {"utility_weight": -1.0}, "-1.0"),
        (lambda: None, {"size": 128}, "takes 64 pixels"),
        (lambda: None, {"keep": ["Smile"]}, "Smiling"),
        (lambda: None, {"keep": ["Smiling"], "defence": "noise"}, "'noise'"),
        (load_encoder, {"keep": ["Smiling"]}, "[0, 3]"),
        (load_encoder, {"keep": [40], "public": torch.rand(64, 3, 64, 64)}, "40 outputs"),
    ],
)
def test_what_is_missing_is_said(model: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as caught:
        Protector(model(), **options)
    assert named in str(caught.value)


def test_a_generator_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="have 64 pixels and size is 128"):
        Protector(load_encoder(), public=load_generator(), size=128)


def test_a_cloud_model_of_another_encoder_is_refused(faces: Tensor) -> None:
    model = load_encoder()
    with pytest.raises(InputError, match="does not take features"):
        Protector(SplitModel(model.encoder, nn.Linear(3, 3)), public=faces[:64])


def test_cuts_by_hooks_refuse_what_skips(faces: Tensor) -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, image: Tensor) -> Tensor:
            if float(image.mean()) > 1e9:
                raise AssertionError
            return (self.layer(image) + image).mean((2, 3))

    with pytest.raises(InputError, match="skip over"):
        cut(Skipping(), "layer", size=8)
    with pytest.raises(InputError, match="size"):
        cut(Skipping(), "layer")
    assert np.isfinite(cut(Untraceable(), "whole.1.0", size=64).logits(faces[:1]).numpy()).all()


class Forgetful(Undefended):
    name = "forgetful"


def test_a_release_that_is_the_clean_feature_is_refused(
    faces: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = Protector(public=faces, defence="none")
    assert torch.equal(clean(faces[:2]).feature, clean.encode(faces[:2])), "none is asked for"
    monkeypatch.setattr("fl_crafter.protection.build_defence", lambda *_, **__: Forgetful())
    with pytest.raises(InputError, match="forgetful changed nothing"):
        Protector(public=faces, defence="noise")(faces[:2])


def test_a_network_in_half_precision_is_crafted_for_in_single(faces: Tensor) -> None:
    shipped = load_encoder()
    half = SplitModel(copy.deepcopy(shipped.encoder).half(), copy.deepcopy(shipped.cloud).half())
    one, other = (
        Protector(model, public=faces, seed=0, steps=3)(faces[:2]).figures["task_loss"]
        for model in (half, shipped)
    )
    assert one == pytest.approx(other, rel=0.05)


@pytest.mark.parametrize("rate", [100.0, 1e6])
def test_too_large_a_step_ends_with_a_sentence(
    faces: Tensor, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CrafterSettings(rate=rate, steps=5)
    monkeypatch.setattr("fl_crafter.protection.crafter_settings", lambda *_: settings)
    with pytest.raises(InputError, match="crafter diverged"):
        Protector(public=faces, seed=0)(faces[:2])
