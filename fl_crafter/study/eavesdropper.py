"""An eavesdropper, put together from what a user says that it knows."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.assets import load_encoder
from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.attacks.suite import most_queries, standard
from fl_crafter.defences.base import Defence
from fl_crafter.defences.configured import check_keep, shipped_outputs, trained_defence
from fl_crafter.errors import InputError
from fl_crafter.faces.attributes import listed
from fl_crafter.faces.images import read_images
from fl_crafter.files import file_hash
from fl_crafter.models.generator import ImageGenerator
from fl_crafter.models.split import SplitModel
from fl_crafter.study.knowledge import (
    RELEARNING,
    attacker_knowledge,
    knowing,
    of_trained,
    with_defence,
    with_encoder,
    with_generator,
    with_queries,
)
from fl_crafter.study.named import named_encoder, named_generator
from fl_crafter.study.points import Point, parse_defence

SIZE = 64
DRAWN = 1000  # public faces


@dataclass(frozen=True)
class Eavesdropper:
    """What somebody who recorded features has beside them.

    Attributes:
        encoder: that made the features, frozen.
        is_own: whether it is an encoder of one's own, and neither shipped nor a defence's.
        model: that encoder with its cloud model, where it is one's own and both are known.
        point: the defence that is known to have protected them; None if none is.
        trained: that defence, where it is a trained one.
        photographs: of other people, `[count, 3, 64, 64]`; faces drawn from a generator join them.
        generator: another prior of faces than the shipped one.
        weights: folder of the weights; the shipped ones by default.
        device: where attacks compute.
    """

    encoder: nn.Module
    is_own: bool
    model: SplitModel | None
    point: Point | None
    trained: Defence | None
    photographs: Float[Tensor, "count 3 64 64"]
    generator: ImageGenerator | None
    weights: Path | None
    device: str

    @staticmethod
    def described(
        *,
        defence: str | None,
        keep: str,
        weights: Path | None,
        encoder: str,
        public: Path | None,
        generator: str,
        device: str,
    ) -> "Eavesdropper":
        """From the options of the command line.

        Raises:
            InputError: one is not as it should be, or two do not go together.
        """
        point = parse_defence(defence) if defence else None
        if keep:
            if point is None or encoder:
                raise InputError(
                    "--keep says which of the shipped model's outputs a known defence kept; name "
                    "that with --defence, without --encoder."
                )
            check_keep(point.defence)
            kept = replace(point.settings, keep=shipped_outputs(listed(keep)))
            point = replace(point, settings=kept)
        trained = None
        if point is not None and point.weights:
            if encoder or weights:
                raise InputError(
                    f"--defence {defence} brings an encoder of its own; leave --encoder and "
                    "--weights out."
                )
            trained = trained_defence(point.defence, Path(point.weights), device=device)
        given = named_encoder(encoder).to(device) if encoder else None
        model = given if isinstance(given, SplitModel) else None
        own = given.encoder if isinstance(given, SplitModel) else given
        if own is not None and model is None and defence is not None:
            raise InputError(
                "--defence needs the cloud model too; let the function of --encoder return "
                "fl_crafter.cut(network, layer) or SplitModel(encoder, cloud)."
            )
        brings = None if trained is None else trained.model
        shipped = load_encoder(weights).encoder.to(device)
        return Eavesdropper(
            encoder=brings.encoder if brings else shipped if own is None else own,
            is_own=own is not None,
            model=model,
            point=point,
            trained=trained,
            photographs=read_images(public, size=SIZE) if public else torch.zeros(0, 3, SIZE, SIZE),
            generator=named_generator(generator, size=SIZE) if generator else None,
            weights=weights,
            device=device,
        )

    def knowledge(self, *, budget: str, random: torch.Generator) -> AttackerKnowledge:
        """What an attack is given; a decoder of another encoder learns first.

        Args:
            budget: of that learning.
            random: of public faces, of that learning and of the defence.
        """
        steps = RELEARNING[budget]
        known = attacker_knowledge(
            self.photographs,
            drawn=DRAWN,
            random=random,
            device=self.device,
            weights=self.weights,
        )
        if self.trained is not None and self.trained.model is not None:
            known = of_trained(known, self.trained.model, steps=steps, random=random)
            known = knowing(known, self.trained, random=random)
        elif self.point is not None:
            known = with_defence(
                known,
                self.point.defence,
                settings=self.point.settings,
                random=random,
                weights=self.weights,
                model=self.model,
            )
        if self.is_own:
            cloud = None if self.model is None else self.model.cloud
            known = with_encoder(known, self.encoder, cloud=cloud, steps=steps, random=random)
        if self.generator is not None:
            known = with_generator(known, self.generator)
        if known.release is None:
            return known
        return with_queries(known, most_queries(standard(budget)), random=random)

    def digest(self) -> str:
        """Of all that attacks depend on, to tell whether they ran before."""
        total = hashlib.sha256()
        for part in self._told():
            total.update(f"{part} ".encode())
        return total.hexdigest()

    def _told(self) -> Iterator[object]:
        yield self.point and (self.point.defence, self.point.fixed(), self.point.settings.keep)
        if self.weights:
            yield from (file_hash(path) for path in sorted(self.weights.glob("*.safetensors")))
        yield digest_of(self.photographs)
        for part in (self.encoder, self.model and self.model.cloud, self.generator):
            if part is not None:
                yield from (digest_of(value) for value in part.state_dict().values())


def digest_of(value: Tensor) -> str:
    """SHA-256 of a tensor's numbers, in hexadecimal."""
    return hashlib.sha256(value.double().cpu().numpy().tobytes()).hexdigest()
