"""GBFS 3.0: the cars that people of a town share and drive themselves, for apps that show shared vehicles.

https://github.com/MobilityData/gbfs/blob/v3.0/gbfs.md. Where a car stands while somebody drives it is nobody's
business: cars under way are in no document, and a free car's id changes with every rental (vehicle_status.vehicle_id,
"MUST be rotated").
"""

import hmac
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args
from zoneinfo import available_timezones

from pydantic import Field, ValidationError, model_validator

from noriai_engine.model.errors import InputError
from noriai_engine.rules.service_file import FileTable
from noriai_engine.tables import read_table

TTL_S = 60
State = Literal["free", "reserved", "under_way", "out_of_service"]
STATES: tuple[str, ...] = get_args(State)
Document = dict[str, Any]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")]


class CarKind(FileTable):
    """A kind of car: seats, drive, the farthest a full tank or battery brings it."""

    id: Id
    name: str
    seats: Annotated[int, Field(ge=1)]
    drive: Literal["combustion", "combustion_diesel", "hybrid", "plug_in_hybrid", "electric", "hydrogen_fuel_cell"]
    range_m: Annotated[int, Field(ge=1_000)]
    automatic: bool = True


class CarStation(FileTable):
    """Where shared cars stand: `spaces` for cars, `charging` whether they charge there."""

    id: Id
    name: str
    lon: Annotated[float, Field(ge=-180, le=180)]
    lat: Annotated[float, Field(ge=-90, le=90)]
    spaces: Annotated[int, Field(ge=0)]
    charging: bool = False
    closed: bool = False


class PricePlan(FileTable):
    """A price: to begin with, `rate` for every `per_minutes`, `km_rate` for every km."""

    id: Id
    name: str
    text: str
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    price: Annotated[float, Field(ge=0)]
    per_minutes: Annotated[int, Field(ge=0)] = 0
    rate: Annotated[float, Field(ge=0)] = 0.0
    km_rate: Annotated[float, Field(ge=0)] = 0.0


class CarSharing(FileTable):
    """A town's shared cars, and what is true of them all: the file `noriai gtfs cars` reads. `returns`: to the station
    a car was taken from, or to any. `secret` keeps others from telling which car a public id belongs to."""

    id: Id
    name: str
    operator: str
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9-]+)?$")]
    timezone: str
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    opening_hours: str
    secret: Annotated[str, Field(min_length=16)]
    cars: str
    url: str = ""
    phone: Annotated[str, Field(pattern=r"^(\+[1-9]\d{1,14})?$")] = ""
    returns: Literal["roundtrip_station", "any_station", "free_floating"] = "roundtrip_station"
    kinds: Annotated[tuple[CarKind, ...], Field(min_length=1)]
    stations: tuple[CarStation, ...] = ()
    plans: tuple[PricePlan, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> "CarSharing":
        for what, ids in (("kinds", self.kinds), ("stations", self.stations), ("plans", self.plans)):
            names = [one.id for one in ids]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: {', '.join(twice)} stands twice")
        if self.returns != "free_floating" and not self.stations:
            raise ValueError("cars that return to stations need [[stations]]")
        if self.timezone not in available_timezones():
            raise ValueError(f"timezone: {self.timezone!r} is none; write one such as Asia/Tokyo")
        return self


@dataclass(frozen=True, slots=True)
class SharedCar:
    """A car at a station (or, with coordinates, elsewhere). `rentals` counts how often it was taken so far; `range_m`
    is how far it goes as it stands; `reported_s` seconds since 1970."""

    id: str
    kind: str
    state: State
    reported_s: int
    rentals: int = 0
    station: str = ""
    lon: float | None = None
    lat: float | None = None
    range_m: int | None = None


def load_sharing(path: Path) -> tuple[CarSharing, list[SharedCar]]:
    """A TOML file and the table of cars it names. Raises InputError (what, where, remedy)."""
    remedy = "docs/gtfs.md has an example"
    try:
        sharing = CarSharing.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError("there is no such file", where=path, remedy=remedy) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is no TOML: {error}", where=path, remedy=remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{field}: {first['msg']}".lstrip(": "), where=path, remedy=remedy) from error
    return sharing, read_cars(path.parent / sharing.cars, sharing)


def read_cars(path: Path, sharing: CarSharing) -> list[SharedCar]:
    """Cars of a table: car_id, kind, state, reported (ISO 8601), and station or lon and lat; rentals, range_km where
    known. Raises RowError with file, row and column."""
    table = read_table(path).expect(
        required=["car_id", "kind", "state", "reported"], optional=["station", "lon", "lat", "rentals", "range_km"]
    )
    kinds, stations = {kind.id for kind in sharing.kinds}, {station.id for station in sharing.stations}
    cars: dict[str, SharedCar] = {}
    for row in table:
        name, station, state = row.text("car_id"), row.text("station", ""), row.text("state")
        if name in cars:
            raise row.error("car_id", f"{name!r} stands twice", "give every car one row")
        if row.text("kind") not in kinds:
            raise row.error("kind", f"{row.text('kind')!r} is no kind", f"write one of {', '.join(sorted(kinds))}")
        if state not in STATES:
            raise row.error("state", f"{state!r} is no state", f"write one of {', '.join(STATES)}")
        if station and station not in stations:
            raise row.error("station", f"{station!r} is no station", f"write one of {', '.join(sorted(stations))}")
        lon, lat = None, None
        if not station and state != "under_way":
            lon, lat = row.place().lon, row.place().lat
        range_km = row.number("range_km", -1.0)
        cars[name] = SharedCar(
            name, row.text("kind"), cast(State, state), row.convert("reported", _seconds),
            row.integer("rentals", 0, least=0), station, lon, lat,
            int(1_000 * range_km) if range_km >= 0 else None,
        )  # fmt: skip
    return list(cars.values())


def _seconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 (without an offset: refused below)
    if moment.tzinfo is None:
        raise InputError(f"{text!r} is no moment with an offset", remedy="write 2026-11-23T08:30:00+09:00")
    return int(moment.timestamp())


def gbfs_documents(sharing: CarSharing, cars: Sequence[SharedCar], base_url: str, now_s: int) -> dict[str, Document]:
    """Every file by name; `base_url` is where they will lie."""
    shown = [car for car in cars if car.state != "under_way"]
    parts: dict[str, Document] = {
        "system_information": _system(sharing),
        "vehicle_types": {"vehicle_types": [_kind(kind, sharing) for kind in sharing.kinds]},
        "station_information": {"stations": [_station(station, sharing.language) for station in sharing.stations]},
        "station_status": {"stations": [_status(station, sharing, shown, now_s) for station in sharing.stations]},
        "vehicle_status": {"vehicles": [_car(car, sharing) for car in shown]},
    }
    if sharing.plans:
        parts["system_pricing_plans"] = {"plans": [_plan(plan, sharing.language) for plan in sharing.plans]}
    documents = {f"{name}.json": _wrapped(data, now_s) for name, data in parts.items()}
    feeds = [{"name": name, "url": f"{base_url.rstrip('/')}/{name}.json"} for name in parts]
    documents["gbfs.json"] = _wrapped({"feeds": feeds}, now_s)
    return documents


def _wrapped(data: Document, now_s: int) -> Document:
    return {"last_updated": _moment(now_s), "ttl": TTL_S, "version": "3.0", "data": data}


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _words(text: str, language: str) -> list[dict[str, str]]:
    return [{"text": text, "language": language}]


def _system(sharing: CarSharing) -> Document:
    data: Document = {
        "system_id": sharing.id, "languages": [sharing.language], "name": _words(sharing.name, sharing.language),
        "operator": _words(sharing.operator, sharing.language), "opening_hours": sharing.opening_hours,
        "feed_contact_email": sharing.email, "timezone": sharing.timezone,
    }  # fmt: skip
    if sharing.url:
        data["url"] = sharing.url
    if sharing.phone:
        data["phone_number"] = sharing.phone
    return data


def _kind(kind: CarKind, sharing: CarSharing) -> Document:
    data: Document = {
        "vehicle_type_id": kind.id, "form_factor": "car", "rider_capacity": kind.seats, "propulsion_type": kind.drive,
        "max_range_meters": kind.range_m, "name": _words(kind.name, sharing.language), "wheel_count": 4,
        "vehicle_accessories": ["automatic" if kind.automatic else "manual"], "return_constraint": sharing.returns,
    }  # fmt: skip
    if sharing.plans:
        data |= {
            "default_pricing_plan_id": sharing.plans[0].id, "pricing_plan_ids": [plan.id for plan in sharing.plans]
        }  # fmt: skip
    return data


def _station(station: CarStation, language: str) -> Document:
    return {
        "station_id": station.id, "name": _words(station.name, language), "lat": station.lat, "lon": station.lon,
        "capacity": station.spaces, "is_charging_station": station.charging, "is_virtual_station": False,
        "parking_type": "parking_lot",
    }  # fmt: skip


def _status(station: CarStation, sharing: CarSharing, shown: Sequence[SharedCar], now_s: int) -> Document:
    here = [car for car in shown if car.station == station.id]
    free = Counter(car.kind for car in here if car.state == "free")
    return {
        "station_id": station.id, "num_vehicles_available": 0 if station.closed else sum(free.values()),
        "vehicle_types_available": [
            {"vehicle_type_id": kind.id, "count": 0 if station.closed else free[kind.id]} for kind in sharing.kinds
        ],
        "num_vehicles_disabled": sum(car.state == "out_of_service" for car in here),
        "num_docks_available": max(0, station.spaces - len(here)), "is_installed": True,
        "is_renting": not station.closed, "is_returning": not station.closed,
        "last_reported": _moment(max((car.reported_s for car in here), default=now_s)),
    }  # fmt: skip


def _car(car: SharedCar, sharing: CarSharing) -> Document:
    data: Document = {
        "vehicle_id": rental_id(sharing.secret, car), "vehicle_type_id": car.kind,
        "is_reserved": car.state == "reserved", "is_disabled": car.state == "out_of_service",
        "last_reported": _moment(car.reported_s),
    }  # fmt: skip
    if car.station:
        data["station_id"] = car.station
    else:
        data |= {"lat": car.lat, "lon": car.lon}
    if car.range_m is not None:
        data["current_range_meters"] = car.range_m
    elif kind := next((kind for kind in sharing.kinds if kind.id == car.kind), None):
        data["current_range_meters"] = kind.range_m
    return data


def rental_id(secret: str, car: SharedCar) -> str:
    """A car's public id until it is taken the next time."""
    return hmac.new(secret.encode(), f"{car.id}\n{car.rentals}".encode(), "sha256").hexdigest()[:20]


def _plan(plan: PricePlan, language: str) -> Document:
    data: Document = {
        "plan_id": plan.id, "name": _words(plan.name, language), "currency": plan.currency, "price": plan.price,
        "is_taxable": False, "description": _words(plan.text, language),
    }  # fmt: skip
    if plan.per_minutes:
        data["per_min_pricing"] = [{"start": 0, "rate": plan.rate, "interval": plan.per_minutes}]
    if plan.km_rate:
        data["per_km_pricing"] = [{"start": 0, "rate": plan.km_rate, "interval": 1}]
    return data
