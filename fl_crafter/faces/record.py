"""One record for the faces of every dataset."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.errors import InputError


class Role(StrEnum):
    """What a photograph may be used for.

    `PUBLIC` photographs are what the attacker and the prior may learn from. `EVAL_TRAIN`
    photographs of private people train the identity oracle and the cloud model; `EVAL_TEST`
    photographs of the same private people are defended and attacked.
    """

    PUBLIC = "public"
    EVAL_TRAIN = "eval_train"
    EVAL_TEST = "eval_test"


@dataclass(frozen=True)
class Faces:
    """Photographs of people, ready for the networks.

    Attributes:
        name: the dataset, as it is called in tables.
        image: `[count, 3, size, size]` in [0, 1].
        identity: the person's number, `[count]`.
        attributes: `[count, attributes]`, each 0, 1 or, where it is unknown, nan.
        attribute_names: one name per column of `attributes`.
        role: one role per photograph.

    Raises:
        InputError: the parts do not fit together, a value is out of range, or a person is both
            public and private.
    """

    name: str
    image: Float[Tensor, "count 3 size size"]
    identity: Int64[Tensor, " count"]
    attributes: Float[Tensor, "count attributes"]
    attribute_names: tuple[str, ...]
    role: tuple[Role, ...]

    def __post_init__(self) -> None:
        """Check shapes, ranges and that nobody is both public and private."""
        image_shape, count = tuple(self.image.shape), len(self.role)
        if len(image_shape) != 4 or image_shape[1] != 3 or image_shape[2] != image_shape[3]:
            raise InputError(
                f"{self.name}: image has shape {image_shape}; give [count, 3, size, size]"
            )
        shapes = {
            "image": (image_shape[0], (count,)),
            "identity": (tuple(self.identity.shape), ((count,),)),
            "attributes": (tuple(self.attributes.shape), ((count, len(self.attribute_names)),)),
        }
        for field, (shape, wanted) in shapes.items():
            if shape != wanted[0]:
                raise InputError(
                    f"{self.name}: {field} has {shape} for {count} roles and "
                    f"{len(self.attribute_names)} attribute names; give {wanted[0]}"
                )
        self._check_values()
        refuse_two_sides(self.name, self.identity.tolist(), self.role)

    def _check_values(self) -> None:
        if len(self) == 0:
            return
        low, high = (float(bound) for bound in self.image.aminmax())
        if not (low >= 0 and high <= 1):  # also true of nan
            raise InputError(f"{self.name}: image lies in [{low}, {high}]; scale it to [0, 1]")
        known = self.attributes[~self.attributes.isnan()]
        wrong = known[(known != 0) & (known != 1)]
        if wrong.numel():
            raise InputError(
                f"{self.name}: an attribute is {float(wrong[0])}; give 0, 1 or nan for unknown"
            )

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.role)

    def select(self, index: Tensor | Sequence[int]) -> "Faces":
        """The photographs at the given places, in the given order.

        Args:
            index: places, or a mask of `[count]` booleans.
        """
        place = torch.as_tensor(index)
        if place.dtype == torch.bool:
            place = place.nonzero().flatten()
        place = place.long()
        return Faces(
            name=self.name,
            image=self.image[place],
            identity=self.identity[place],
            attributes=self.attributes[place],
            attribute_names=self.attribute_names,
            role=tuple(self.role[i] for i in place.tolist()),
        )

    def with_role(self, role: Role) -> "Faces":
        """The photographs that have this role."""
        return self.select([place for place, own in enumerate(self.role) if own == role])

    def with_attributes(self, places: Sequence[int]) -> "Faces":
        """The same photographs with the attributes at these places alone.

        Args:
            places: of columns, in their new order.
        """
        return dataclasses.replace(
            self,
            attributes=self.attributes[:, list(places)],
            attribute_names=tuple(self.attribute_names[place] for place in places),
        )

    def people(self) -> list[int]:
        """The numbers of the people, each once, in rising order."""
        return sorted(set(self.identity.tolist()))


def refuse_two_sides(where: str, people: Sequence[object], role: Sequence[Role | None]) -> None:
    """Refuse a person who has public and private photographs.

    Args:
        where: the dataset or folder, for the message.
        people: the person on each photograph.
        role: the role of each photograph; None is neither side.
    """
    public = {own for own, each in zip(people, role, strict=True) if each == Role.PUBLIC}
    other = (Role.EVAL_TRAIN, Role.EVAL_TEST)
    private = {own for own, each in zip(people, role, strict=True) if each in other}
    both = sorted(public & private, key=str)
    if both:
        raise InputError(
            f"{where}: person {both[0]} is both public and private; give each person one side"
        )
