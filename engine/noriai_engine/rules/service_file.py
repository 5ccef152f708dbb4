"""service.toml, a town's own rules as a typed model: every field checked, every error with its place. Minutes and clock
times here, milliseconds in the engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from noriai_engine.model.clock import parse_time_of_day
from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.model.places import Place
from noriai_engine.model.service import Service
from noriai_engine.model.units import DayMs
from noriai_engine.regions import Region
from noriai_engine.roads.virtual_stops import virtual_stops
from noriai_engine.tables import read_table


def _service_time(text: str) -> str:
    try:
        parse_time_of_day(text)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


ServiceTime = Annotated[str, AfterValidator(_service_time)]
Minutes = Annotated[float, Field(ge=0, le=24 * 60)]
Share = Annotated[float, Field(ge=0, le=1)]
LonLat = tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-90, le=90)]]


class FileTable(BaseModel):
    """A table of one of our TOML files: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceTable(FileTable):
    """Limits of the service; see noriai_engine.model.Service for their meaning."""

    id: str = "service"
    name: str = "Shared rides"
    hours: tuple[ServiceTime, ServiceTime] = ("00:00", "24:00")
    max_wait_min: Minutes = 15
    max_ride_min: Minutes = 90
    detour_factor: Annotated[float, Field(ge=1, le=10)] = 1.5
    detour_extra_min: Minutes = 5
    arrival_margin_min: Minutes = 20
    min_lead_min: Minutes = 0
    max_ahead_days: Annotated[float, Field(ge=0, le=366)] = 14
    boarding_s: Annotated[int, Field(ge=0, le=3600)] = 30
    alighting_s: Annotated[int, Field(ge=0, le=3600)] = 20
    wheelchair_boarding_s: Annotated[int, Field(ge=0, le=3600)] = 180
    wheelchair_alighting_s: Annotated[int, Field(ge=0, le=3600)] = 120
    commit_horizon_s: Annotated[int, Field(ge=0, le=7200)] = 60
    pickup_buffer_min: Minutes = 0
    ride_buffer: Share = 0
    give_up_min: Minutes = 60
    max_snap_m: Annotated[int, Field(ge=1, le=5000)] = 200
    mode: Literal["door", "stops", "meet"] = "door"
    stops: str | None = None
    max_walk_m: Annotated[int, Field(ge=1, le=5000)] = 500
    virtual_stop_m: Annotated[int, Field(ge=50, le=5000)] = 250
    most_meeting_stops: Annotated[int, Field(ge=1, le=16)] = 4
    walk_weight: Annotated[float, Field(ge=0, le=10)] = 0.2
    area: str | None = None

    @model_validator(mode="after")
    def _stops_named(self) -> Self:
        if (self.mode != "door") != (self.stops is not None):
            raise ValueError(
                'mode = "stops" or "meet" and a stops file belong together; stops = "gtfs" takes the feeds\' '
                'stops, "virtual" spreads stops over the streets'
            )
        return self


def service_of(table: ServiceTable, region: Region, locate: Callable[[str], Path]) -> Service:
    def ms(minutes: float) -> int:
        return round(minutes * 60_000)

    return Service(
        id=table.id, name=table.name,
        opens=DayMs(parse_time_of_day(table.hours[0])), closes=DayMs(parse_time_of_day(table.hours[1])),
        max_wait_ms=ms(table.max_wait_min), max_ride_ms=ms(table.max_ride_min),
        detour_factor_permille=round(table.detour_factor * 1000), detour_extra_ms=ms(table.detour_extra_min),
        arrival_margin_ms=ms(table.arrival_margin_min), min_lead_ms=ms(table.min_lead_min),
        max_ahead_ms=round(table.max_ahead_days * 86_400_000),
        boarding_ms=table.boarding_s * 1000, alighting_ms=table.alighting_s * 1000,
        wheelchair_boarding_ms=table.wheelchair_boarding_s * 1000,
        wheelchair_alighting_ms=table.wheelchair_alighting_s * 1000,
        commit_horizon_ms=table.commit_horizon_s * 1000, pickup_buffer_ms=ms(table.pickup_buffer_min),
        ride_buffer_permille=round(table.ride_buffer * 1000), give_up_ms=ms(table.give_up_min),
        max_snap_m=table.max_snap_m, mode=table.mode,
        max_walk_m=table.max_walk_m, most_meeting_stops=table.most_meeting_stops,
        walk_permille=round(table.walk_weight * 1000), stops=_stops(table, region, locate),
        area=_area(table.area, locate),
    )  # fmt: skip


def _stops(table: ServiceTable, region: Region, locate: Callable[[str], Path]) -> tuple[Place, ...]:
    if table.stops is None:
        return ()
    if table.stops == "virtual":
        spread = virtual_stops(region.network, table.virtual_stop_m)
        near = [p for p in spread if region.snapper.metres_off(p) <= table.max_snap_m]
        if not near:
            raise MissingDataError("no junction to meet at", where="service.stops", remedy="name a stops file")
        return tuple(near)
    if table.stops == "gtfs":
        spots = dict.fromkeys(Place(s["lon"], s["lat"], s["name"]) for s in region.stops)
        near = [p for p in spots if region.snapper.metres_off(p) <= table.max_snap_m]
        if not near:
            raise MissingDataError("no GTFS stop lies on the network", where="service.stops", remedy="add a feed")
        return tuple(near)
    rows = read_table(locate(table.stops)).expect(required=["lon", "lat"], optional=["stop_id", "name", "link"])
    stops = []
    for row in rows:
        place = row.place(name="name")
        metres = region.snapper.metres_off(place)
        if metres > table.max_snap_m:
            raise row.error(
                "lon",
                f"the stop lies {metres:,.0f} m from the nearest drivable road",
                "move the stop, or drop it",
            )
        stops.append(place)
    return tuple(dict.fromkeys(stops))


def _area(reference: str | None, locate: Callable[[str], Path]) -> tuple[tuple[tuple[float, float], ...], ...]:
    if reference is None:
        return ()
    return polygon_rings(locate(reference))


def read_polygons(path: Path) -> Any:
    """Union of all polygons of a GeoJSON file, as shapely geometry. Raises InputError."""
    import shapely

    try:
        shape = shapely.from_geojson(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, shapely.errors.GEOSException) as error:
        raise InputError(f"is not readable GeoJSON: {error}", where=path, remedy="give polygons as GeoJSON") from error
    parts = [shapely.make_valid(g) for g in getattr(shape, "geoms", [shape])]
    polygons = [p for p in parts if p.area > 0]
    if not polygons:
        raise InputError("holds no polygon with an area", where=path, remedy="draw the area as a closed polygon")
    return shapely.union_all(polygons)


def polygon_rings(path: Path) -> tuple[tuple[tuple[float, float], ...], ...]:
    shape = read_polygons(path)
    return tuple(
        tuple((float(x), float(y)) for x, y in polygon.exterior.coords) for polygon in getattr(shape, "geoms", [shape])
    )
