"""Hybrid inversion: latents first, then what lies between the generator's blocks, then pixels."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.descent import Descent, Map, descend, into_ball
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.inversion.frozen import frozen_copy
from fl_crafter.models.generator import Generator
from fl_crafter.progress import in_parts


@dataclass(frozen=True)
class WhiteBoxHybrid(Attack):
    """Leaves the range of the generator step by step, and never by far.

    After the search over latents it descends over the maps between the generator's blocks, the
    first ones first, each in an l1 ball around where the last search ended (as GIFD, Fang et al.
    2023, did for shared gradients), and at last over pixels. What is kept is the nearest in feature
    of all stages. A generator without blocks of its own is left at once.

    Attributes:
        latent: the first search.
        steps: of Adam at every stage.
        rate: longest step on maps, in units of each map's deviation, and on pixels, of their range.
        radius: of the balls, in units of the l1 norm of their centres.
        variation_weight: of the total variation.
        micro_batch: features inverted at once.
    """

    latent: WhiteBoxLatent = field(default_factory=WhiteBoxLatent)
    steps: int = 40
    rate: float = 0.03
    radius: float = 0.3
    variation_weight: float = 0.03
    micro_batch: int = 32
    name: str = "white_box_hybrid"

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "WhiteBoxHybrid":
        """See `Attack`; the first search prepares."""
        return replace(self, latent=self.latent.prepare(knowledge, random=random))

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve joins mean feature distances after the latents' stage."""
        latent, _ = self.latent.find_latents(feature, knowledge, random=random)
        encode = frozen_copy(knowledge.encoder)
        blocks = blocks_of(knowledge.generator)
        images, curves, still = [], [], []
        parts = in_parts(feature, self.micro_batch, title=self.name)
        for part, start in zip(parts, latent.split(self.micro_batch), strict=True):
            found, curve = self._leave(encode, blocks, part, start)
            images.append(found.value)
            still.append(found.still)
            curves.append(torch.tensor(curve) * len(part))
        mean = (torch.stack(curves).sum(0) / len(feature)).tolist()
        return Reconstruction(torch.cat(images), mean, float(torch.cat(still).float().mean()))

    def _leave(
        self, encode: Map, blocks: list[nn.Sequential], feature: Tensor, value: Tensor
    ) -> tuple[Descent, list[float]]:
        """From latents through every block to pixels: the nearest images, and all curves."""
        curve, nearest = [], None
        for index, block in enumerate(blocks):
            with torch.no_grad():
                value = block(value)
            rest = nn.Sequential(*blocks[index + 1 :])
            found = self._descend(encode, rest, feature, value, pixels=not len(rest))
            value = found.value
            curve += found.curve[:-1]
            with torch.no_grad():
                image = rest(value)
            drawn = Descent(image, found.distance, found.curve, found.still)
            nearest = drawn if nearest is None else nearest.better_of(drawn)
        assert nearest is not None
        return nearest, [*curve, float(nearest.distance.mean())]

    def _descend(
        self, encode: Map, rest: nn.Sequential, feature: Tensor, centre: Tensor, *, pixels: bool
    ) -> Descent:
        def project(value: Tensor) -> Tensor:
            near = into_ball(value, centre, radius=self.radius)
            return near.clamp(0, 1) if pixels else near

        return descend(
            encode,
            feature,
            start=centre,
            draw=rest,
            project=project,
            steps=self.steps,
            rate=self.rate if pixels else self.rate * float(centre.std()),
            variation_weight=self.variation_weight,
        )


def blocks_of(generator: nn.Module) -> list[nn.Sequential]:
    """The parts of a frozen copy that follow each other, cut after every activation."""
    if not isinstance(generator, Generator):
        return [nn.Sequential(frozen_copy(generator))]
    blocks: list[list[nn.Module]] = [[]]
    for layer in frozen_copy(generator).layers:
        blocks[-1].append(layer)
        if isinstance(layer, nn.ReLU):
            blocks.append([])
    blocks[-1].append(nn.Sigmoid())
    return [nn.Sequential(*block) for block in blocks]
