"""Figures of the paper, to be drawn beside ours and never mixed with them."""

from dataclasses import dataclass

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Published:
    """Figures of one dataset (Crafter, NDSS 2024).

    Attributes:
        dataset: as results call it.
        similarity: by kind of attack and defence, utility AUC and cosine of the embeddings of
            photograph and reconstruction, by a judge of theirs, on 128 photographs.
    """

    dataset: str
    similarity: dict[str, dict[str, Points]]


CELEBA = Published(
    "celeba",
    {
        "white box": {
            "none": ((0.934, 0.717),),
            "advlearn": ((0.658, 0.534), (0.701, 0.534), (0.767, 0.549)),
            "crafter_published": ((0.817, 0.276), (0.875, 0.354), (0.895, 0.399), (0.925, 0.531)),
        },
        "black box": {
            "none": ((0.934, 0.552),),
            "crafter_published": ((0.817, 0.261), (0.875, 0.318), (0.895, 0.368), (0.925, 0.459)),
        },
    },
)
