"""Settings of a node: one typed model for file, environment and flags; the later outranks the earlier."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from noriai_engine.model.errors import InputError, MissingDataError

PREFIX = "NORIAI_"
FILE = "noriai.toml"


class NodeSettings(BaseSettings):
    """Everything a node may be told. Names are those of noriai.toml; in the environment NORIAI_ stands before them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8600, description="port to listen on; 0 for any free one")
    data: Path = Field(Path("noriai-data"), description="folder of the store and of a made-up town")
    database: str = Field("", description="postgresql:// URL; empty: SQLite in the data folder")
    tenant: str = Field("home", pattern=r"^[a-z0-9-]{1,64}$", description="id of the home tenant made at first start")
    tenant_name: str = Field("Demo town", description="its name")
    desk_phone: str = Field("", description="telephone of the desk, shown to riders")
    region: Path | None = Field(None, description="region bundle to serve at first start; none: a made-up town")
    service: Path | None = Field(None, description="service.toml of that region; none: the default limits")
    fleet: Annotated[int, Field(ge=0, le=5000)] = Field(8, description="vehicles given to a made-up town")
    moves_itself: bool = Field(True, description="vehicles of a made-up town are simulated; false: reports are awaited")
    seed: int = Field(7, description="seed of the made-up town and its fleet")
    quote_lifetime_s: Annotated[int, Field(ge=10, le=3600)] = Field(300, description="how long offers hold")
    improve_every_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        60, description="seconds between searches for better plans; 0: never"
    )
    match_every_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        0, description="seconds between batches that match waiting riders and those who may change vehicles; 0: none"
    )
    plan_at: str = Field(
        "",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$",
        description="HH:MM at which each evening tomorrow is planned as a whole, for who waits for it; empty: never",
    )
    plan_iterations: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        20_000, description="iterations of that search; 20,000 take a region a few seconds"
    )
    rebalance_every_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        0, description="seconds between looks whether idle vehicles should wait elsewhere; 0: they wait where they are"
    )
    tick_ms: Annotated[int, Field(ge=20, le=60_000)] = Field(1000, description="ms between looks at what is due")
    inbox: Annotated[int, Field(ge=1, le=100_000)] = Field(400, description="calls that may wait for a region")
    body_limit_kb: Annotated[int, Field(ge=1, le=100_000)] = Field(256, description="largest request body, in kB")
    requests_per_minute: Annotated[int, Field(ge=1)] = Field(
        6000, description="requests of one client a minute; vehicles have ten times as many"
    )
    idempotency_hours: Annotated[int, Field(ge=24, le=24 * 31)] = Field(
        24, description="how long the answer to an idempotency key is kept"
    )
    telemetry_days: Annotated[int, Field(ge=1, le=3650)] = Field(90, description="days that positions are kept")
    lease_s: Annotated[int, Field(ge=1, le=300)] = Field(
        10, description="a process not heard of for so many seconds loses its regions to the others"
    )
    public_address: str = Field(
        "",
        pattern=r"^(https?://[^\s/]+)?$",
        description="this node's address as callers see it, behind a proxy; empty: where it listens",
    )
    providers: Path | None = Field(None, description="TOML file: OpenID providers that people sign in at")
    session_hours: Annotated[int, Field(ge=1, le=72)] = Field(8, description="how long a sign-in lasts")
    process_address: str = Field(
        "",
        pattern=r"^(https?://.*)?$",
        description="this process's address as other processes of the same store see it; empty: where it listens",
    )
    nats: str = Field(
        "", pattern=r"^((nats|tls|ws|wss)://.*)?$", description="NATS server that events go to; empty: none"
    )
    nats_stream: str = Field("noriai", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="its JetStream stream")
    webhooks_inside: bool = Field(False, description="webhooks may call plain http and private networks")
    exchange_id: str = Field(
        "", pattern=r"^([A-Za-z0-9][A-Za-z0-9._~:-]{0,199})?$", description="our id among nodes; empty: from the tenant"
    )
    exchange_address: str = Field(
        "",
        pattern=r"^(https?://.*)?$",
        description="this node's address as other nodes see it; empty: where it listens",
    )
    exchange_area: str = Field(
        "", pattern=r"^(jis:\d{5})?$", description="our municipality, on every record we share, as jis:08220"
    )
    exchange_nats: str = Field(
        "", pattern=r"^((nats|tls|ws|wss)://.*)?$",
        description="NATS server that neighbours may read data from, as they reach it; empty: none",
    )  # fmt: skip
    exchange_timeout_s: Annotated[int, Field(ge=1, le=120)] = Field(10, description="how long to wait for other nodes")
    authorities: Path | None = Field(None, description="JSON file: whose word on membership counts, and their keys")
    otlp: str = Field(
        "",
        pattern=r"^(https?://.*)?$",
        description="OpenTelemetry collector that traces go to (OTLP over HTTP); empty: none",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line to log")
    log_format: Literal["text", "json"] = Field("text", description="for people, or one JSON object a line")


def load_settings(flags: dict[str, Any], file: Path | None = None) -> tuple[NodeSettings, dict[str, str]]:
    """Settings, and where each value comes from (default, file, environment, flag).

    Raises InputError naming the setting, where it was set, and what it may be.
    """
    path = file or Path(FILE)
    said: dict[str, Any] = {}
    if path.is_file():
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"is not TOML: {error}", where=path, remedy="correct the line it names") from error
    elif file is not None:
        raise MissingDataError("is not there", where=file, remedy="name a file that exists, or leave it out")
    fields = NodeSettings.model_fields
    environment = {name: os.environ[PREFIX + name.upper()] for name in fields if PREFIX + name.upper() in os.environ}
    flags = {name: value for name, value in flags.items() if value is not None}
    source = dict.fromkeys(fields, "default")
    source |= dict.fromkeys(said, str(path)) | {name: f"{PREFIX}{name.upper()}" for name in environment}
    source |= {name: f"--{name.replace('_', '-')}" for name in flags}
    try:
        settings = NodeSettings(**{**said, **environment, **flags})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        known = fields.get(name)
        remedy = f"known settings: {', '.join(fields)}" if known is None else f"{name}: {known.description}"
        what = f"{name} = {first['input']!r}: {first['msg']}" if known is not None else f"{name} is no setting"
        raise InputError(what, where=source.get(name, str(path)), remedy=remedy) from error
    return settings, source
