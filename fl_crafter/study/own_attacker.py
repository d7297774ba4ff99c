"""Does a trained defence stop the attacker of its own paper? Asked before any stronger one.

AdvLearn and Disco were judged by how badly a decoder rebuilds the photograph, TIPRDC by how badly a
classifier of the private label, trained on its features, does on other photographs. Attackers that
know more are the attacks' business.
"""

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fl_crafter.assets.trained import DECODER_WIDTHS
from fl_crafter.attacks.queries import features_of
from fl_crafter.chunks import in_chunks
from fl_crafter.defences.base import Defence
from fl_crafter.defences.undefended import Undefended
from fl_crafter.evaluation.metrics import mean_auc
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.decoder import ConvolutionalDecoder, Rescaled
from fl_crafter.models.resnet import resnet_tail
from fl_crafter.models.split import SplitModel
from fl_crafter.picture import as_bytes
from fl_crafter.randomness import seeded
from fl_crafter.training.decoder import DecoderTraining, train_decoder
from fl_crafter.training.loop import Trainable, run_training


@dataclass(frozen=True)
class OwnAttacker:
    """What a paper's own attacker trains with; the same for clean and for defended features.

    Attributes:
        steps: updates of the new decoder or classifier.
        batch_size: rows per update.
        learning_rate: Adam's.
        seed: of initialisation, order and the defence's draws, which are others for what is learnt
            from than for what is attacked.
    """

    steps: int = 200
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0

    def random(self, role: Role) -> torch.Generator:
        """The defence's source of randomness for photographs of this role; no two are the same."""
        return torch.Generator().manual_seed(10**6 + len(Role) * self.seed + list(Role).index(role))


def released(
    defence: Defence,
    model: SplitModel,
    image: Float[Tensor, "count 3 height width"],
    *,
    random: torch.Generator,
) -> Float[Tensor, "count channels rows columns"]:
    """What a client with this defence uploads of its photographs.

    Args:
        defence: whose own encoder, where it has one, takes the place of the victim's.
        model: the victim's.
        image: in [0, 1].
        random: of the defence.
    """
    clean = features_of((defence.model or model).encoder, image)
    return in_chunks(lambda part: defence.protect(part, random=random).feature, clean)


def utility_auc(defence: Defence, model: SplitModel, faces: Faces, *, seed: int) -> float:
    """Mean ROC-AUC of the cloud model over attributes, on `eval_test` photographs."""
    test = faces.with_role(Role.EVAL_TEST)
    feature = released(defence, model, test.image, random=torch.Generator().manual_seed(seed))
    cloud = (defence.model or model).cloud
    score = in_chunks(cloud, feature).cpu()
    return float(mean_auc(score, test.attributes, torch.ones(1, len(test), dtype=torch.float64))[0])


def decoder_figures(
    defence: Defence, model: SplitModel, faces: Faces, *, how: OwnAttacker
) -> dict[str, float]:
    """Mean squared pixel errors on `eval_test` photographs; a larger one hides more.

    `clean` and `new` are of a decoder that starts afresh on public photographs, without and with
    the defence; `own` of the one that the defence met in training; `mean_face` of always showing
    the mean public face.
    """
    test = faces.with_role(Role.EVAL_TEST).image
    public = faces.with_role(Role.PUBLIC).image
    figures = {}
    for name, each in (("clean", Undefended()), ("new", defence)):
        decoder = _new_decoder(each, model, public, how)
        figures[name] = _pixel_error(decoder, each, model, test, how)
    if defence.decoder is not None:
        figures["own"] = _pixel_error(defence.decoder, defence, model, test, how)
    figures["mean_face"] = float((test - public.mean(0)).square().mean())
    return figures


def _new_decoder(
    defence: Defence, model: SplitModel, public: Tensor, how: OwnAttacker
) -> nn.Module:
    encoder = (defence.model or model).encoder
    feature = released(defence, model, public, random=how.random(Role.PUBLIC))
    with seeded(how.seed):
        fresh = ConvolutionalDecoder(feature.shape[1], widths=DECODER_WIDTHS)
    decoder, _ = train_decoder(
        Rescaled(fresh, feature).to(feature.device),
        encoder,
        as_bytes(public),
        feature=feature,
        settings=DecoderTraining(
            steps=how.steps,
            batch_size=how.batch_size,
            learning_rate=how.learning_rate,
            seed=how.seed,
        ),
        title=f"decoder of {defence.name}",
    )
    return decoder


def _pixel_error(
    decoder: nn.Module, defence: Defence, model: SplitModel, image: Tensor, how: OwnAttacker
) -> float:
    feature = released(defence, model, image, random=how.random(Role.EVAL_TEST))
    rebuilt = in_chunks(decoder, feature).cpu()
    return float((rebuilt - image).square().mean())


def classifier_figures(
    defence: Defence, model: SplitModel, faces: Faces, *, how: OwnAttacker
) -> dict[str, float]:
    """Shares of `eval_test` photographs whose person a classifier names; a smaller one hides more.

    The classifier learns from the `eval_train` photographs of the same people, without the defence
    (`clean`) and with it (`new`). `chance` is one guess among all.
    """
    people, number = faces.identity.unique(return_inverse=True)
    own = {role: torch.tensor([r == role for r in faces.role]) for role in Role}
    private = number[own[Role.EVAL_TRAIN]].unique()
    place = torch.zeros(len(people), dtype=torch.long)
    place[private] = torch.arange(len(private))
    figures = {}
    for name, each in (("clean", Undefended()), ("new", defence)):
        feature = {
            role: released(each, model, faces.image[own[role]], random=how.random(role))
            for role in (Role.EVAL_TRAIN, Role.EVAL_TEST)
        }
        classifier = train_classifier(
            feature[Role.EVAL_TRAIN], place[number[own[Role.EVAL_TRAIN]]], how=how
        )
        with torch.no_grad():
            parts = feature[Role.EVAL_TEST].split(64)
            named = torch.cat([classifier(part).cpu() for part in parts]).argmax(1)
        figures[name] = float((named == place[number[own[Role.EVAL_TEST]]]).float().mean())
    return figures | {"chance": 1 / len(private)}


def train_classifier(
    feature: Float[Tensor, "count channels rows columns"],
    person: Int64[Tensor, " count"],
    *,
    how: OwnAttacker,
) -> nn.Module:
    """A new classifier of the person, in evaluation mode.

    Args:
        feature: to learn from.
        person: 0 to people - 1.
        how: see `OwnAttacker`.
    """
    random = torch.Generator().manual_seed(how.seed)
    width, people = feature.shape[1], int(person.max()) + 1
    widths = (width, 2 * width, 3 * width, 4 * width)
    with seeded(how.seed):
        classifier = resnet_tail(widths, (2, 2, 1), outputs=people).to(feature.device)
    adam = torch.optim.Adam(classifier.parameters(), lr=how.learning_rate)

    def step(index: int) -> dict[str, float]:
        chosen = torch.randint(0, len(feature), (how.batch_size,), generator=random)
        loss = F.cross_entropy(classifier(feature[chosen]), person[chosen].to(feature.device))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return {"named": loss.item()}

    trainable = Trainable({"classifier": classifier}, {"adam": adam}, random)
    run_training(step, trainable, steps=how.steps, title="classifier")
    return classifier.eval()


def own_attacker(
    defence: Defence, model: SplitModel, faces: Faces, *, how: OwnAttacker | None = None
) -> dict[str, float]:
    """All figures of a trained defence beside those of clean features.

    Args:
        defence: trained.
        model: the victim's without it.
        faces: photographs of all three roles.
        how: see `OwnAttacker`.
    """
    how = how or OwnAttacker()
    auc = {"auc_defended": utility_auc(defence, model, faces, seed=how.seed)}
    if _serves(model, faces):
        auc["auc_clean"] = utility_auc(Undefended(), model, faces, seed=how.seed)
    if defence.decoder is None:
        rows = dataclasses.replace(how, batch_size=2 * how.batch_size)
        named = classifier_figures(defence, model, faces, how=rows)
        return auc | {f"named_{key}": value for key, value in named.items()}
    errors = decoder_figures(defence, model, faces, how=how)
    return auc | {f"error_{key}": value for key, value in errors.items()}


def _serves(model: SplitModel, faces: Faces) -> bool:
    """Whether the cloud model has been trained on these attributes."""
    with torch.no_grad():
        image = faces.image[:1].to(next(model.encoder.parameters()).device)
        return model.logits(image).shape[1] == faces.attributes.shape[1]
