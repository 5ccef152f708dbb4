"""What riders take up and vehicles offer: seats, wheelchair places, pieces of luggage."""

from dataclasses import dataclass

from noriai_engine.model.errors import InputError

RESOURCE_NAMES = ("seats", "wheelchairs", "luggage")


@dataclass(frozen=True, slots=True)
class Resources:
    """A vector over RESOURCE_NAMES. As a party: what it takes; as a layout: what the vehicle then offers."""

    seats: int = 0
    wheelchairs: int = 0
    luggage: int = 0

    def __post_init__(self) -> None:
        for name, amount in zip(RESOURCE_NAMES, self.as_tuple(), strict=True):
            if not 0 <= amount <= 1_000:
                raise InputError(f"{name} = {amount}", remedy=f"give {name} between 0 and 1000")

    def as_tuple(self) -> tuple[int, int, int]:
        return (self.seats, self.wheelchairs, self.luggage)

    @property
    def riders(self) -> int:
        """People: a wheelchair user sits in the wheelchair place, not on a seat."""
        return self.seats + self.wheelchairs

    def fits(self, layouts: tuple["Resources", ...]) -> bool:
        """True where some layout holds this load in every kind."""
        load = self.as_tuple()
        return any(all(a <= b for a, b in zip(load, x.as_tuple(), strict=True)) for x in layouts)
