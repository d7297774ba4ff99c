"""A batch of faces drawn from the shipped generator, and the judge of what is made of them."""

import platform
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fl_crafter.assets import load_amortiser, load_encoder, load_generator
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.defences.crafter.distance import estimate_epsilon_pii

CRITICS = (2, 4)  # at least and at most
JUDGEMENTS = 256  # of critics on faces, that are averaged


def device_name() -> str:
    """The accelerator, or the kind of processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()})"


class DrawnFaces:
    """Faces of nobody, their features, and what the eavesdropper knows.

    Args:
        seed: of the faces, and of the judge.
        images: how many.
        device: where all computing is done.
        weights: folder of generator and amortiser; the shipped ones by default.
    """

    def __init__(self, seed: int, *, images: int, device: str, weights: Path | None = None) -> None:
        self.seed, self.device = seed, device
        self.random = torch.Generator().manual_seed(seed)
        model = load_encoder().to(device)
        self.encoder, self.cloud = model.encoder, model.cloud
        self.generator = load_generator(weights).to(device)
        self.amortiser = load_amortiser(weights).to(device)
        self.image = self.generator.sample(images, random=self.random)
        with torch.no_grad():
            self.feature = self.encoder(self.image)
        self.prior = self.generator.sample(256, random=self.random)
        self.knowledge = AttackerKnowledge(
            self.encoder, self.prior, self.generator, self.amortiser, decoder=nn.Identity()
        )

    def public_feature(self, count: int = 1000) -> Tensor:
        """Features of other drawn faces."""
        with torch.no_grad():
            draws = [self.generator.sample(50, random=self.random) for _ in range(count // 50)]
            return torch.cat([self.encoder(draw) for draw in draws])

    def judge(self, released: Tensor) -> dict[str, Any]:
        """Privacy gap by a fresh white-box inversion and fresh critics, and utility loss.

        The gap is the mean over critics, which are the same for everything that is judged.
        """
        least, most = CRITICS
        critics = min(most, max(least, JUDGEMENTS // len(released)))
        gaps = self.gaps(released, WhiteBoxLatent(), critics=critics)
        return {
            "privacy_gap": statistics.mean(gaps),
            "privacy_gap_by_critic": gaps,
            "utility_loss": float((released - self.feature).square().mean()),
        }

    def gaps(self, released: Tensor, attack: Attack, *, critics: int = 1) -> list[float]:
        """Privacy gap of what an attack makes of the released features, by each fresh critic."""
        fixed = torch.Generator().manual_seed(self.seed)
        seen = attack.reconstruct(released, self.knowledge, random=fixed).image
        found = []
        for critic in range(critics):
            own = torch.Generator().manual_seed(critic)
            each = estimate_epsilon_pii(seen, self.image, self.prior, random=own)
            found.append(float(each.mean()))
        return found
