"""The catalogue: what there is to be had, as each viewer may see it. What they may not see is absent.

DCAT in the protocol's JSON-LD, with the properties of mobilityDCAT-AP that European access points look for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select, update

from noriai_api.exchange.protocol.messages import CONTEXT, Message
from noriai_api.exchange.terms import PROFILE, is_area, terms_of
from noriai_api.store.exchange_tables import datasets
from noriai_engine.model.errors import InputError

PULL, PUSH, STREAM, STREAM_PUSH = "HttpData-PULL", "HttpData-PUSH", "noriai:Stream-PULL", "noriai:Stream-PUSH"
PARQUET, BUS = "noriai:Parquet-PULL", "noriai:NATS-PULL"
FORMATS = (PULL, PUSH, STREAM, STREAM_PUSH, PARQUET, BUS)
"""How data moves: pulled page by page or pushed, all there is or for as long as it is under way; pulled as Parquet
files; read from a NATS server as it comes."""
Way = Literal[
    "HttpData-PULL", "HttpData-PUSH", "noriai:Stream-PULL", "noriai:Stream-PUSH", "noriai:Parquet-PULL",
    "noriai:NATS-PULL",
]  # fmt: skip

DCT, DCAT, MDCAT = "http://purl.org/dc/terms/", "http://www.w3.org/ns/dcat#", "http://w3id.org/mobilitydcat-ap#"
LANGUAGES = "http://publications.europa.eu/resource/authority/language/"
THEMES = "https://w3id.org/mobilitydcat-ap/mobility-theme/"
STANDARDS = "https://w3id.org/mobilitydcat-ap/mobility-data-standard/"


class Coarseness(BaseModel):
    """How much a record of demand tells: the JIS mesh its ends lie in (6 digits: 10 km, 8: 1 km, 9: 500 m), and the
    step its time is rounded down to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mesh_digits: Literal[4, 6, 8, 9] = 8
    minutes: Literal[15, 30, 60, 180, 1440] = 15


class Description(BaseModel):
    """What a dataset states about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: dict[Literal["ja", "en"], str]
    description: dict[Literal["ja", "en"], str]
    owner: str
    kind: Literal["operations", "statistics"]
    schema_id: str
    schema_version: str = Field(pattern=r"^\d+\.\d+$")
    area: list[str]
    since: str | None = None
    until: str | None = None
    every: str = Field("PT1H", description="ISO 8601 duration between updates")
    coverage: str
    price: str = "free"
    theme: str = "demand-responsive-transport"
    standard: str = Field("other", description="mobility data standard, by its word in mobilityDCAT-AP's list")
    formats: list[Way]
    synthetic: bool = False
    coarseness: Coarseness = Coarseness()
    passes_on: str | None = Field(
        None, description="agreement of ours under which the data comes to us: its terms bind those we give it to"
    )
    source: str | None = Field(None, description="dataset it comes from; set where it passes on")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset with its terms."""

    dataset: str
    about: Description
    offer: Message
    manual: bool
    made: str
    """RFC 3339."""


def put(
    connection: Connection, upsert: Any, tenant: str, dataset: str, about: Description, permission: list[Message],
    now: int, *, viewers: list[str] | None = None, manual: bool = False,
) -> None:  # fmt: skip
    """Offer a dataset, or describe it anew. `viewers` of None: everybody we know. Raises InputError for terms or areas
    that have no meaning here."""
    if bad := [area for area in about.area if not is_area(area)]:
        raise InputError(f"{bad[0]} is no area", where=f"dataset {dataset}, area", remedy="jis:<code> or mesh:<code>")
    offer = {"@id": f"{dataset}#offer", "@type": "Offer", "profile": PROFILE, "permission": permission}
    terms_of(offer)
    row = {
        "tenant": tenant, "dataset": dataset, "body": about.model_dump_json(), "viewers": json.dumps(viewers),
        "offer": json.dumps(offer), "manual": manual, "made": now, "withdrawn": None,
    }  # fmt: skip
    connection.execute(upsert(datasets), [row])


def withdraw(connection: Connection, tenant: str, dataset: str, now: int) -> bool:
    """Offer it no longer; agreements in force stay."""
    where = (datasets.c.tenant == tenant, datasets.c.dataset == dataset, datasets.c.withdrawn.is_(None))
    return connection.execute(update(datasets).where(*where).values(withdrawn=now)).rowcount > 0


def seen_by(connection: Connection, tenant: str, viewer: str | None) -> list[Dataset]:
    """What a viewer may see; a viewer of None is ourselves. Every row is looked at for every viewer, so that the time
    an answer takes does not tell what was left out."""
    query = select(datasets).where(datasets.c.tenant == tenant, datasets.c.withdrawn.is_(None))
    found = []
    for row in connection.execute(query.order_by(datasets.c.dataset)).mappings():
        viewers = json.loads(row["viewers"])
        dataset = _dataset(row)
        if viewer is None or viewers is None or viewer in viewers:
            found.append(dataset)
    return found


def dataset_for(connection: Connection, tenant: str, dataset: str, viewer: str | None) -> Dataset | None:
    """One dataset, None where there is none or the viewer may not see it."""
    return next((found for found in seen_by(connection, tenant, viewer) if found.dataset == dataset), None)


def described(connection: Connection, tenant: str, dataset: str) -> Dataset | None:
    """A dataset, offered still or no longer."""
    where = (datasets.c.tenant == tenant, datasets.c.dataset == dataset)
    row = connection.execute(select(datasets).where(*where)).mappings().first()
    return None if row is None else _dataset(row)


def catalogue(participant: str, address: str, found: list[Dataset]) -> Message:
    """The catalogue as the protocol sends it."""
    service = _service(participant, address)
    out: Message = {
        "@context": CONTEXT, "@id": f"{participant}#catalogue", "@type": "Catalog", "participantId": participant,
        "service": [service], f"{DCT}title": _texts({"ja": "共有データ", "en": "Data shared"}),
        f"{DCT}description": _texts({"ja": "地域の移動データ", "en": "Mobility data of a region"}),
        f"{DCT}publisher": _agent(participant),
    }  # fmt: skip
    if found:
        areas = sorted({area for dataset in found for area in dataset.about.area})
        out["dataset"] = [_entry(dataset, service["@id"], address) for dataset in found]
        out[f"{DCT}spatial"] = [_location(area) for area in areas]
        out[f"{DCAT}record"] = [_record(dataset) for dataset in found]
    return out


def dataset_message(participant: str, address: str, dataset: Dataset) -> Message:
    """One dataset as the protocol sends it."""
    return {"@context": CONTEXT, **_entry(dataset, _service(participant, address)["@id"], address)}


def _service(participant: str, address: str) -> Message:
    return {"@id": f"{participant}#connector", "@type": "DataService", "endpointURL": address}


def _entry(dataset: Dataset, service: str, address: str) -> Message:
    about = dataset.about
    return {
        "@id": dataset.dataset, "@type": "Dataset", "hasPolicy": [dataset.offer],
        "distribution": [
            {
                "@type": "Distribution", "format": name, "accessService": service,
                f"{DCAT}accessURL": {"@id": address}, f"{DCT}license": {"@id": dataset.offer["@id"]},
                f"{MDCAT}mobilityDataStandard": {"@id": STANDARDS + about.standard},
            }
            for name in about.formats
        ],
        f"{DCT}title": _texts(about.title), f"{DCT}description": _texts(about.description),
        f"{DCT}publisher": _agent(about.owner), f"{DCT}spatial": [_location(area) for area in about.area],
        f"{DCT}accrualPeriodicity": {"@id": f"urn:noriai:every:{about.every}"},
        f"{DCT}conformsTo": {"@id": "http://www.opengis.net/def/crs/EPSG/0/4326", "@type": f"{DCT}Standard"},
        "urn:noriai:schema": about.schema_id,
        f"{DCT}temporal": {
            "@type": f"{DCT}PeriodOfTime",
            **{
                f"{DCAT}{name}": {"@value": value, "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}
                for name, value in (("startDate", about.since), ("endDate", about.until)) if value is not None
            },
        },
        f"{MDCAT}mobilityTheme": {"@id": THEMES + about.theme}, "urn:noriai:schemaVersion": about.schema_version,
        "urn:noriai:kind": about.kind, "urn:noriai:coverage": about.coverage, "urn:noriai:price": about.price,
        "urn:noriai:synthetic": about.synthetic, "urn:noriai:meshDigits": about.coarseness.mesh_digits,
        "urn:noriai:minutes": about.coarseness.minutes,
        **({} if about.source is None else {f"{DCT}source": {"@id": about.source}}),
    }  # fmt: skip


def _record(dataset: Dataset) -> Message:
    """When the entry was made: harvesters want it."""
    made = {"@value": dataset.made, "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}
    return {
        "@id": f"{dataset.dataset}#record", "@type": f"{DCAT}CatalogRecord", f"{DCT}created": made,
        f"{DCT}modified": made, "http://xmlns.com/foaf/0.1/primaryTopic": {"@id": dataset.dataset},
        f"{DCT}language": [{"@id": f"{LANGUAGES}JPN"}, {"@id": f"{LANGUAGES}ENG"}],
    }  # fmt: skip


def _agent(name: str) -> Message:
    return {"@id": name, "@type": "http://xmlns.com/foaf/0.1/Agent", "http://xmlns.com/foaf/0.1/name": name}


def _location(area: str) -> Message:
    """An area by its code, in the gazetteer's words."""
    return {"@id": f"urn:noriai:area:{area}", "@type": f"{DCT}Location", f"{DCT}identifier": area}


def _texts(texts: Mapping[Any, str]) -> list[Message]:
    return [{"@language": language, "@value": said} for language, said in sorted(texts.items())]


def _dataset(row: Any) -> Dataset:
    about = Description.model_validate_json(row["body"])
    made = datetime.fromtimestamp(row["made"] / 1000, UTC).isoformat(timespec="seconds")
    return Dataset(row["dataset"], about, json.loads(row["offer"]), row["manual"], made)
