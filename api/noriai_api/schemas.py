"""What all features' documents share: strict models, times, places, texts."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from noriai_engine.model import Place, ServiceDay, UtcMs
from noriai_engine.texts import LANGUAGES, text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Strict(BaseModel):
    """A document from outside: no field unknown, no value of another type taken for one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Said(BaseModel):
    """A document of ours."""

    model_config = ConfigDict(frozen=True)


def _in_our_time(moment: datetime) -> datetime:
    if not 2000 <= moment.year < 2100:
        raise ValueError("a time between the years 2000 and 2100 is wanted")
    return moment


def _written(value: object) -> object:
    if not isinstance(value, str) or "T" not in value.upper():
        raise ValueError("write RFC 3339 with offset, such as 2026-11-24T08:30:00+09:00")
    return value


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_written),
    AfterValidator(_in_our_time),
    Field(
        strict=False,
        description="RFC 3339 with offset",
        examples=["2026-11-24T08:30:00+09:00"],
        json_schema_extra={"pattern": "^20[0-9]{2}-"},
    ),
]
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$")]
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")]
Words = Annotated[dict[str, str], Field(description="A text by language", examples=[{"en": "...", "ja": "..."}])]


def utc_ms(moment: datetime) -> UtcMs:
    """UTC milliseconds of an instant."""
    return UtcMs((moment - _EPOCH) // timedelta(milliseconds=1))


def in_zone(instant: int, day: ServiceDay) -> str:
    """An instant as RFC 3339 in the region's time, to the second."""
    return (_EPOCH + timedelta(milliseconds=instant)).astimezone(day.zone).isoformat(timespec="seconds")


def words(key: str, **values: Any) -> dict[str, str]:
    """A text of the catalogue in every language."""
    return {language: text(key, language, **values) for language in LANGUAGES}


class PlaceIn(Strict):
    """A point: (lon, lat) WGS84 in degrees, and the name people call it by."""

    lon: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    name: Text = ""

    def place(self) -> Place:
        return Place(self.lon, self.lat, self.name)


class PlaceOut(Said):
    lon: float
    lat: float
    name: str = ""
