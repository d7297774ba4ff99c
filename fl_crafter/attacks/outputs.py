"""Search for the face of whom the task's model says what it says of the release."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.chunks import in_chunks


@dataclass(frozen=True)
class ThroughOutputs(Attack):
    """Another search, for the outputs of the public model of the task instead of the feature.

    A defence that keeps those outputs and nothing else of the person, as `crafter` does, maps all
    faces of the same outputs to one release: this is the search through it, with a gradient that
    the defence itself does not give. Every output counts in units of its deviation over public
    faces. There is no amortiser of outputs, so that it starts from the best of many drawn faces.

    Attributes:
        inner: the search, one that takes features of any size.
        outputs: the task's model, with outputs `[batch, outputs, 1, 1]` in those units; None makes
            it.
    """

    inner: Attack = field(default_factory=lambda: WhiteBoxLatent(candidates=256))
    outputs: nn.Module | None = field(default=None, repr=False, compare=False)
    name: str = "white_box_outputs"

    def applies(self, knowledge: AttackerKnowledge) -> bool:
        """See `Attack`."""
        return knowledge.cloud is not None

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "ThroughOutputs":
        """See `Attack`; the inner one prepares, if the task's model is known."""
        if knowledge.cloud is None:
            return self
        head = nn.Sequential(knowledge.cloud, nn.Unflatten(1, (-1, 1, 1)))
        example = in_chunks(head, knowledge.public_feature())
        outputs = nn.Sequential(head, _InDeviations(example)).eval()
        known = _known(outputs, knowledge)
        return replace(self, outputs=outputs, inner=self.inner.prepare(known, random=random))

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve is the inner one's, of outputs.

        Raises:
            ValueError: the knowledge holds no model of the task.
        """
        if knowledge.cloud is None:
            raise ValueError(f"{self.name} must know the task's model: set AttackerKnowledge.cloud")
        if self.outputs is None:
            prepared = self.prepare(knowledge, random=random)
            return prepared.reconstruct(feature, knowledge, random=random)
        known = _known(self.outputs, knowledge)
        return self.inner.reconstruct(in_chunks(self.outputs, feature), known, random=random)


class _InDeviations(nn.Module):
    """Numbers divided by how much they vary in an example; those that do not vary stay."""

    deviation: Tensor

    def __init__(self, example: Float[Tensor, "count outputs 1 1"]) -> None:
        super().__init__()
        deviation = example.std(0, correction=0)
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1.0))

    def forward(self, output: Float[Tensor, "batch outputs 1 1"]) -> Tensor:
        return output / self.deviation


def _known(outputs: nn.Module, knowledge: AttackerKnowledge) -> AttackerKnowledge:
    """The knowledge of an encoder whose features are the outputs."""
    encoder = nn.Sequential(knowledge.encoder, outputs).eval()
    return replace(knowledge, encoder=encoder, amortiser=None, cloud=None)
