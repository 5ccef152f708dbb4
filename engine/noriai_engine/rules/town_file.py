"""service.toml: what a town says about its service, limits and fares."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.rules.service_file import FileTable, ServiceTable
from noriai_engine.rules.tariff import FareTable


class LicenceTable(FileTable):
    """A class of licence that vehicles of this town serve under, and the packs that bind it."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    packs: Annotated[tuple[str, ...], Field(min_length=1)]


class TownFile(ServiceTable):
    """The service's limits, [fare] where riders pay, and [[licences]] where law binds who carries whom."""

    fare: FareTable | None = None
    taxi_fare: FareTable | None = None
    """What a taxi would cost: for packs that cap a fare by it."""
    licences: tuple[LicenceTable, ...] = ()
    holidays: tuple[date, ...] = ()
    cash: bool = False
    """Riders pay in cash."""
    taxis_of_area: Annotated[int | None, Field(ge=0)] = None
    """Taxis of the operating area: for quotas that are a share of them."""
    declared_number: Annotated[int | None, Field(ge=0)] = None
    """Vehicles the municipality has declared, which outranks such a share."""
    fares_posted: bool = False
    """Fares are posted on the web."""


def load_town_file(path: Path) -> TownFile:
    """A town's service.toml. Raises InputError naming the field, what is wrong with it and what to do."""
    try:
        return TownFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise MissingDataError(f"cannot be read: {error.strerror}", where=path, remedy="name a service.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not TOML: {error}", where=path, remedy="correct the line it names") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(f"{field}: {first['msg']}", where=path, remedy="docs/service.md lists the fields") from error
