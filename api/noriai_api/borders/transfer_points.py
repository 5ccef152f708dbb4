"""Places where riders may change from one fleet's vehicle to another's: a station, a hospital, a shop at the border."""

from math import cos, hypot, radians
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from sqlalchemy import Connection, delete, select

from noriai_api.bookings.schemas import QuoteIn
from noriai_api.schemas import PlaceIn, PlaceOut, Said, Strict
from noriai_api.store.exchange_tables import transfer_points

METRES_A_DEGREE = 111_195.0


class TransferPoint(Strict):
    """A place, how long a rider needs to change there, and how long they may be left to wait."""

    place: PlaceIn
    change_min: Annotated[int, Field(ge=0, le=60)] = 5
    longest_wait_min: Annotated[int, Field(ge=0, le=240)] = 40

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest_wait_min < self.change_min:
            raise ValueError("the longest wait is shorter than the change")
        return self


class TransferPointOut(Said):
    point: str
    place: PlaceOut
    change_min: int
    longest_wait_min: int


class TransferPoints(Said):
    points: list[TransferPointOut]


def put(connection: Connection, upsert: Any, tenant: str, name: str, new: TransferPoint) -> None:
    row = {"tenant": tenant, "point": name, "body": new.model_dump_json()}
    connection.execute(upsert(transfer_points), [row])


def drop(connection: Connection, tenant: str, name: str) -> bool:
    """Nobody changes there any more; rides that were booked go on. False where there is none."""
    where = (transfer_points.c.tenant == tenant, transfer_points.c.point == name)
    return connection.execute(delete(transfer_points).where(*where)).rowcount > 0


def all_of(connection: Connection, tenant: str) -> dict[str, TransferPoint]:
    """A tenant's transfer points by id."""
    query = select(transfer_points).where(transfer_points.c.tenant == tenant).order_by(transfer_points.c.point)
    rows = connection.execute(query).mappings()
    return {row["point"]: TransferPoint.model_validate_json(row["body"]) for row in rows}


def detour_m(wish: QuoteIn, point: TransferPoint) -> float:
    """How much longer the way is by a point, as the crow flies."""
    via, ends = point.place, (wish.origin, wish.destination)
    return _far_m(ends[0], via) + _far_m(via, ends[1]) - _far_m(*ends)


def _far_m(a: PlaceIn, b: PlaceIn) -> float:
    east = (a.lon - b.lon) * cos(radians((a.lat + b.lat) / 2))
    return hypot(east, a.lat - b.lat) * METRES_A_DEGREE
