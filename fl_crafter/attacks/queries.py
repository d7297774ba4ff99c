"""What an attacker learns by protecting its own public faces with the victim's defence."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from fl_crafter.chunks import in_chunks

Release = Callable[[Tensor], Tensor]
BATCH = 64


@dataclass(frozen=True)
class Queries:
    """Public faces, their clean features, and what the defence released for each.

    Attributes:
        image: in [0, 1].
        clean: feature of each image.
        released: what the defence made of it.
        face: number of the face that each row shows, the same in every draw.
    """

    image: Float[Tensor, "count 3 height width"]
    clean: Float[Tensor, "count channels rows columns"]
    released: Float[Tensor, "count channels rows columns"]
    face: Int64[Tensor, " count"]

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: Shaped[Tensor, " rows"]) -> "Queries":
        """The rows at these places, or where a mask is true."""
        return Queries(self.image[rows], self.clean[rows], self.released[rows], self.face[rows])


@dataclass
class QueryMemory:
    """Answers that attacks on one defence share: it may take seconds for each face.

    Attributes:
        release: the defence that answered; answers of another one are forgotten.
        image: the faces that it was asked about, likewise.
        draws: of the defence's randomness, each over the first so many faces.
    """

    release: Release | None = None
    image: Tensor | None = None
    draws: list[Queries] = field(default_factory=list)

    def ask(
        self,
        encoder: nn.Module,
        release: Release,
        image: Float[Tensor, "count 3 height width"],
        *,
        images: int,
        draws: int,
        batch: int,
    ) -> Queries:
        """Protect the first `images` faces `draws` times, each with fresh randomness.

        Every second draw shows the faces mirrored, which are as good as further faces. Batches are
        whole, as the victim's are: the last one is filled up with further faces, or the first ones
        again, and what is released for those is not kept.

        Args:
            encoder: the victim's, frozen; says where to compute.
            release: clean features -> released features.
            image: the attacker's own faces.
            images: of them that are protected, at most.
            draws: how often each is protected.
            batch: of them that are protected together.
        """
        if self.release is not release or self.image is not image:
            self.release, self.image, self.draws = release, image, []
        wanted = min(images, len(image))
        for draw in range(draws):
            have = len(self.draws[draw]) if draw < len(self.draws) else 0
            if have >= wanted:
                continue
            new = wanted - have
            face = torch.arange(have, have + -(-new // batch) * batch) % len(image)
            shown = image[face].flip(3) if draw % 2 else image[face]
            more = _ask(encoder, release, shown, face, batch=batch).select(torch.arange(new))
            self.draws[draw : draw + 1] = [_join([*self.draws[draw : draw + 1], more])]
        return _join([known.select(known.face < wanted) for known in self.draws[:draws]])


def features_of(
    encoder: nn.Module, image: Float[Tensor, "count 3 height width"]
) -> Float[Tensor, "count channels rows columns"]:
    """Clean features, where the encoder computes, without gradient, at bounded memory."""
    reference = next(encoder.parameters(), image)
    return in_chunks(lambda part: encoder(part.to(reference)), image, BATCH)


def _ask(
    encoder: nn.Module, release: Release, image: Tensor, face: Tensor, *, batch: int
) -> Queries:
    clean = features_of(encoder, image)
    released = torch.cat([release(part).detach() for part in clean.split(batch)])
    return Queries(image, clean, released, face)


def _join(parts: list[Queries]) -> Queries:
    return Queries(
        torch.cat([part.image for part in parts]),
        torch.cat([part.clean for part in parts]),
        torch.cat([part.released for part in parts]),
        torch.cat([part.face for part in parts]),
    )
