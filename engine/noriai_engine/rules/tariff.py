"""Fares by rule: flat, by distance or by zone, less for children, for those who share, and for those who are entitled.

Money is integer minor units of one currency. A quote says what a rider pays alone and when somebody else shares the
ride; a receipt says which it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.model.places import Place
from noriai_engine.rules.service_file import FileTable

Amount = Annotated[int, Field(ge=0, le=10_000_000)]
Percent = Annotated[int, Field(ge=0, le=100)]


class DistanceTable(FileTable):
    """`first` up to `first_m` of the direct way, `step` for each begun `step_m` after it, never more than `most`."""

    first_m: Annotated[int, Field(ge=0)]
    first: Amount
    step_m: Annotated[int, Field(ge=1)]
    step: Amount
    most: Amount | None = None


class EntitlementTable(FileTable):
    """Who is entitled pays `pays` a head, or `percent` of the fare; the rest is paid by `payer`."""

    name: str
    pays: Amount | None = None
    percent: Percent | None = None
    payer: str = "municipality"

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.pays is None) == (self.percent is None):
            raise ValueError("give either pays (an amount) or percent")
        return self


class FareTable(FileTable):
    """[fare] of a service.toml. Exactly one of flat, distance and zones says what an adult pays alone."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "JPY"
    flat: Amount | None = None
    distance: DistanceTable | None = None
    zones: str | None = None
    """GeoJSON of polygons with a property `zone`."""
    between: tuple[tuple[str, str, Amount], ...] = ()
    """Zone, zone, fare; it holds both ways."""
    child_percent: Percent = 50
    infant_percent: Percent = 0
    wheelchair_percent: Percent = 100
    shared: Amount | None = None
    """What an adult pays where another party shares part of the ride."""
    shared_percent: Percent | None = None
    no_show: Amount = 0
    rounding: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fares of children, shared and subsidised rides are rounded down to a multiple of this."""
    entitlements: tuple[EntitlementTable, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if sum(x is not None for x in (self.flat, self.distance, self.zones)) != 1:
            raise ValueError("give exactly one of flat, distance and zones")
        if (self.zones is not None) != bool(self.between):
            raise ValueError("zones and between belong together")
        if self.shared is not None and self.shared_percent is not None:
            raise ValueError("give either shared (an amount) or shared_percent")
        if len({e.name for e in self.entitlements}) != len(self.entitlements):
            raise ValueError("an entitlement is named twice")
        return self


@dataclass(frozen=True, slots=True)
class Heads:
    """Who rides: adults on seats, children, infants, people in wheelchairs."""

    adults: int = 1
    children: int = 0
    infants: int = 0
    wheelchairs: int = 0


@dataclass(frozen=True, slots=True)
class Fare:
    """What a ride costs: `total` = `rider_pays` + `subsidy`, in minor units of `currency`."""

    currency: str
    total: int
    rider_pays: int
    subsidy: int
    payer: str | None
    lines: tuple[tuple[str, int, int], ...]
    """(who, how many, each), before any subsidy."""


class Tariff:
    """A town's fares. `zone_of` names the zone of a place, None outside all."""

    def __init__(self, table: FareTable, zone_of: Callable[[Place], str | None] | None = None) -> None:
        self.table, self._zone_of = table, zone_of
        self._between = {frozenset((a, b)): amount for a, b, amount in table.between}

    def fare(
        self, heads: Heads, origin: Place, destination: Place, direct_m: int,
        entitlements: Mapping[str, Any] | None = None,
        *, shared: bool = False,
    ) -> Fare | None:  # fmt: skip
        """What a ride costs, None where the tariff has no fare for it (a place outside all zones)."""
        table, adult = self.table, self._adult(origin, destination, direct_m)
        if adult is None:
            return None
        if shared:
            adult = self._shared(adult)
        kinds = (
            ("adult", heads.adults, 100), ("child", heads.children, table.child_percent),
            ("infant", heads.infants, table.infant_percent),
            ("wheelchair", heads.wheelchairs, table.wheelchair_percent),
        )  # fmt: skip
        lines = tuple((who, count, self._part(adult, percent)) for who, count, percent in kinds if count)
        total = sum(count * each for _, count, each in lines)
        best, payer = total, None
        for entitlement in table.entitlements:
            if entitlement.name in (entitlements or {}):
                pays = self._entitled(entitlement, lines)
                if pays < best:
                    best, payer = pays, entitlement.payer
        return Fare(table.currency, total, best, total - best, payer, lines)

    def _adult(self, origin: Place, destination: Place, direct_m: int) -> int | None:
        table = self.table
        if table.flat is not None:
            return table.flat
        if table.distance is not None:
            by = table.distance
            steps = max(0, -(-(direct_m - by.first_m) // by.step_m))
            amount = by.first + steps * by.step
            return amount if by.most is None else min(amount, by.most)
        assert self._zone_of is not None
        ends = self._zone_of(origin), self._zone_of(destination)
        return None if None in ends else self._between.get(frozenset(str(zone) for zone in ends))

    def _shared(self, adult: int) -> int:
        table = self.table
        if table.shared is not None:
            return min(adult, table.shared)
        return adult if table.shared_percent is None else self._part(adult, table.shared_percent)

    def _part(self, amount: int, percent: int) -> int:
        return amount if percent == 100 else amount * percent // 100 // self.table.rounding * self.table.rounding

    def _entitled(self, entitlement: EntitlementTable, lines: tuple[tuple[str, int, int], ...]) -> int:
        """The rider entitled is one head, the dearest; who comes along pays the full fare."""
        dearest = max((each for _, _, each in lines), default=0)
        rest = sum(count * each for _, count, each in lines) - dearest
        if entitlement.pays is not None:
            return rest + min(dearest, entitlement.pays)
        return rest + self._part(dearest, entitlement.percent or 0)


def read_zones(table: FareTable, locate: Callable[[str], Path] = Path) -> dict[str, Any]:
    """The polygons (GeoJSON geometries) of the zones that a table names, none where it names no file.

    Raises InputError where the file cannot be read, or a zone with a fare is not drawn.
    """
    import json

    import shapely

    if table.zones is None:
        return {}
    path = locate(table.zones)
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        zones = {str(f["properties"]["zone"]): f["geometry"] for f in features}
        for geometry in zones.values():
            shapely.from_geojson(json.dumps(geometry))
    except OSError as error:
        raise MissingDataError(
            f"cannot be read: {error.strerror}", where=path, remedy="name the zones' file"
        ) from error
    except (ValueError, KeyError, TypeError, shapely.errors.GEOSException) as error:
        raise InputError(
            f"is no GeoJSON of polygons with a property zone: {error}", where=path, remedy="name each polygon's zone"
        ) from error
    for a, b, _ in table.between:
        for zone in (a, b):
            if zone not in zones:
                raise InputError(f"zone {zone} of fare.between is not drawn", where=path, remedy="draw it, or drop it")
    return zones


def tariff_of(table: FareTable, zones: Mapping[str, Any]) -> Tariff:
    """The tariff of a table with its zones' polygons."""
    if table.zones is None:
        return Tariff(table)
    import json

    import shapely

    shapes = [(name, shapely.from_geojson(json.dumps(geometry))) for name, geometry in zones.items()]

    def zone_of(place: Place) -> str | None:
        return next((name for name, shape in shapes if shapely.intersects_xy(shape, place.lon, place.lat)), None)

    return Tariff(table, zone_of)
