"""Search for the face of whom the task's model says what it says of the release."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.white_box import WhiteBoxLatent


@dataclass(frozen=True)
class ThroughOutputs(Attack):
    """Another search, for the outputs of the public model of the task instead of the feature.

    A defence that keeps those outputs and nothing else of the person, as `crafter` does, maps all
    faces of the same outputs to one release: this is the search through it, with a gradient that
    the defence itself does not give.

    Attributes:
        inner: the search, one that takes features of any size.
    """

    inner: Attack = field(default_factory=WhiteBoxLatent)
    name: str = "white_box_outputs"

    def applies(self, knowledge: AttackerKnowledge) -> bool:
        """See `Attack`."""
        return knowledge.cloud is not None

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "ThroughOutputs":
        """See `Attack`; the inner one prepares, if the task's model is known."""
        if not self.applies(knowledge):
            return self
        return replace(self, inner=self.inner.prepare(_known(knowledge), random=random))

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
        known = _known(knowledge)
        with torch.no_grad():
            outputs = _behind(knowledge)(feature)
        return self.inner.reconstruct(outputs, known, random=random)


def _behind(knowledge: AttackerKnowledge) -> nn.Module:
    """The task's model, with outputs `[batch, outputs, 1, 1]`."""
    if knowledge.cloud is None:
        raise ValueError("the attack must know the task's model: set AttackerKnowledge.cloud")
    return nn.Sequential(knowledge.cloud, nn.Unflatten(1, (-1, 1, 1)))


def _known(knowledge: AttackerKnowledge) -> AttackerKnowledge:
    """The knowledge of an encoder whose features are the outputs; no amortiser goes with it."""
    encoder = nn.Sequential(knowledge.encoder, _behind(knowledge)).eval()
    return replace(knowledge, encoder=encoder, amortiser=None, cloud=None)
