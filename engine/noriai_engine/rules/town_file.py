"""service.toml: what a town says about its service, limits and fares."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.rules.service_file import ServiceTable
from noriai_engine.rules.tariff import FareTable


class TownFile(ServiceTable):
    """The service's limits, and [fare] where riders pay."""

    fare: FareTable | None = None


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
