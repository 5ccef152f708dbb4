"""The tables. Every table of a party's data has its tenant as the first column of its primary key.

Instants are UTC milliseconds; `body` columns are JSON. What a region's dispatcher decides is in `log`, and everything
in `bookings`, `quotes` and `plans` follows from it: they are there to be looked up.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()


def table(name: str, *columns: Column[object] | Index | UniqueConstraint, tenant: bool = True) -> Table:
    first = [Column("tenant", String(64), primary_key=True)] if tenant else []
    return Table(name, metadata, *first, *columns)


def key(name: str, length: int = 64) -> Column[object]:
    return Column(name, String(length), primary_key=True)


tenants = table("tenants", Column("name", Text, nullable=False), Column("created", BigInteger, nullable=False))

clients = table(
    "clients", key("client"),
    Column("role", String(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("operator", String(64)), Column("vehicle", String(64)), Column("rider", String(64)),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("created", BigInteger, nullable=False), Column("expires", BigInteger), Column("revoked", BigInteger),
    Column("scopes", Text), Column("limits", Text), Column("made_by", String(64)),
)  # fmt: skip
"""Who may call: an API key and the role it acts in. `operator`, `vehicle`, `rider` narrow what it reaches, `scopes`
what it does; `limits` how much of it; `made_by` is the rider's client that let it act."""

client_keys = table(
    "client_keys", key("client"), key("thumbprint"),
    Column("jwk", Text, nullable=False), Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False), Column("revoked", BigInteger),
    Index("client_keys_thumbprint", "thumbprint", unique=True),
)  # fmt: skip
"""Public keys by which machines prove who they are; a key belongs to one client."""

identities = table(
    "identities", key("issuer", 255), key("subject", 255), Column("client", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
)  # fmt: skip
"""Who a provider's subject is here. Nothing else of what a provider says about people is kept."""

invitations = table(
    "invitations", key("code_hash"), Column("client", String(64), nullable=False),
    Column("provider", String(64), nullable=False), Column("expires", BigInteger, nullable=False),
    Column("used", BigInteger),
)  # fmt: skip

sessions = table(
    "sessions", key("session_hash"), Column("tenant", String(64), nullable=False),
    Column("client", String(64), nullable=False), Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False), tenant=False,
)  # fmt: skip

used_ids = table(
    "used_ids", key("kind", 16), key("id_hash"), Column("expires", BigInteger, nullable=False), tenant=False
)
"""What counts once: client assertions, sign-ins, proofs of requests that change something."""

regions = table(
    "regions", key("region"),
    Column("folder", Text, nullable=False), Column("checksum", String(80), nullable=False),
    Column("body", Text, nullable=False),
)  # fmt: skip
"""A region served by this node: where its bundle lies, and its service's rules."""

operators = table("operators", key("operator"), Column("body", Text, nullable=False))
vehicles = table(
    "vehicles", key("vehicle"), Column("region", String(64), nullable=False),
    Column("operator", String(64), nullable=False), Column("body", Text, nullable=False),
)  # fmt: skip
drivers = table(
    "drivers",
    key("driver"),
    Column("operator", String(64), nullable=False),
    Column("body", Text, nullable=False),
)
riders = table("riders", key("rider"), Column("client", String(64)), Column("body", Text, nullable=False))
"""Riders by token: what their rides need, never who they are."""

rider_personal = table(
    "rider_personal", key("rider"), Column("name", Text), Column("phone", Text), Column("phone_hash", String(64)),
    Column("purpose", String(64), nullable=False), Column("delete_after", BigInteger, nullable=False),
    Index("rider_personal_phone", "tenant", "phone_hash"), Index("rider_personal_due", "delete_after"),
)  # fmt: skip
"""Who riders are: the only table with personal fields, each row with its purpose and its last day."""

quotes = table(
    "quotes", key("quote"), Column("region", String(64), nullable=False), Column("day", String(10), nullable=False),
    Column("client", String(64), nullable=False), Column("rider", String(64)),
    Column("expires", BigInteger, nullable=False), Column("body", Text, nullable=False),
)  # fmt: skip

bookings = table(
    "bookings", key("booking"), Column("region", String(64), nullable=False), Column("day", String(10), nullable=False),
    Column("quote", String(64), nullable=False), Column("client", String(64), nullable=False),
    Column("rider", String(64)), Column("operator", String(64), nullable=False),
    Column("vehicle", String(64), nullable=False), Column("state", String(32), nullable=False),
    Column("version", Integer, nullable=False), Column("pickup", BigInteger, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("promise", Text, nullable=False), Column("body", Text, nullable=False),
    UniqueConstraint("tenant", "quote", name="bookings_one_per_quote"),
    Index("bookings_by_day", "tenant", "region", "day", "pickup"),
    Index("bookings_by_rider", "tenant", "rider", "pickup"),
)  # fmt: skip

"""`body` is what was booked and stays; `promise`, `state`, `vehicle` follow the dispatcher."""

plans = table(
    "plans", key("region"), Column("day", String(10), primary_key=True), key("vehicle"),
    Column("operator", String(64), nullable=False), Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
)  # fmt: skip

standing = table(
    "standing", key("order"), Column("client", String(64), nullable=False), Column("rider", String(64), nullable=False),
    Column("body", Text, nullable=False), Column("ended", BigInteger),
)  # fmt: skip
standing_runs = table(
    "standing_runs", key("order"), Column("day", String(10), primary_key=True),
    Column("state", String(16), nullable=False), Column("booking", String(64)), Column("reason", String(64)),
    Column("quote", String(64)),
)  # fmt: skip
"""What came of a standing order on a day: once for each, however often it is tried. `quote`: that of a day which is
left to the plan; what becomes of it stands in `waiting`."""

waiting = table(
    "waiting", key("quote"), Column("client", String(64), nullable=False), Column("rider", String(64)),
    Column("region", String(64), nullable=False), Column("wish", Text, nullable=False),
    Column("state", String(16), nullable=False), Column("fresh_quote", String(64)),
    Column("until", String(8), nullable=False, server_default="offers"), Column("booking", String(64)),
    Column("reason", String(64)),
    Index("waiting_state", "state"), Index("waiting_fresh", "tenant", "fresh_quote"),
)  # fmt: skip
"""Wishes that wait until there are offers, or for a batch or the plan of the day, which book them as the request
`fresh_quote` without asking again."""

overrides = table(
    "overrides", key("override"), Column("region", String(64), nullable=False),
    Column("day", String(10), nullable=False), Column("time", BigInteger, nullable=False),
    Column("operator", String(64)), Column("body", Text, nullable=False), Column("undone", BigInteger),
)  # fmt: skip
"""What operators decided over the dispatcher's head, with what it takes to undo it."""

log = table(
    "log", key("region"), Column("sequence", BigInteger, primary_key=True), Column("day", String(10), nullable=False),
    Column("time", BigInteger, nullable=False), Column("cause", String(64), nullable=False),
    Column("actor", String(64)), Column("body", Text, nullable=False), Column("hash", LargeBinary, nullable=False),
    Index("log_by_day", "tenant", "region", "day", "sequence"),
)  # fmt: skip
"""What happened, in order: events with the records they left. State is the fold of it; each hash covers the one
before."""

processes = table(
    "processes", key("process"), Column("address", Text, nullable=False), Column("beat", BigInteger, nullable=False),
    tenant=False,
)  # fmt: skip
"""The processes that serve this store, and the count of their beats: one whose count stands still is gone."""

holdings = table(
    "holdings", key("region"), Column("holder", String(64)), Column("epoch", BigInteger, nullable=False),
)  # fmt: skip
"""Which process dispatches a region. Each change of holder raises the epoch; what an earlier one writes is refused."""

signals = table(
    "signals",
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("time", BigInteger, nullable=False), Column("kind", String(32), nullable=False),
    Column("subject", String(160), nullable=False), tenant=False,
)  # fmt: skip
"""What the other processes must look up anew, written with the change itself."""

reported = table(
    "mds_reported", key("kind", 16), key("id"), Column("operator", String(64), nullable=False),
    Column("device", String(64)), Column("time", BigInteger, nullable=False), Column("body", Text, nullable=False),
    Index("mds_reported_of", "tenant", "device", "kind", "time"),
)  # fmt: skip
"""What operators that dispatch by themselves reported by MDS."""
STANDING_REPORTS = ("vehicle", "stop")
"""Kinds of reports that are kept; others are erased with the positions of their time."""

PASSING = frozenset({"processes", "holdings", "signals"})
"""Tables that mean nothing once the processes are gone: backups leave them out."""

telemetry = table(
    "telemetry", key("vehicle"), Column("at", BigInteger, primary_key=True),
    Column("lon", Float, nullable=False), Column("lat", Float, nullable=False), Column("speed_mps", Float),
    Column("heading", Float),
)  # fmt: skip
"""Where vehicles were: a position counts by the instant it was taken at, in whichever order they come."""

idempotency = table(
    "idempotency", key("client"), Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False), Column("status", Integer, nullable=False),
    Column("result", Text, nullable=False), Column("created", BigInteger, nullable=False),
    Index("idempotency_age", "created"),
)  # fmt: skip

outbox = table(
    "outbox",
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False), Column("topic", String(64), nullable=False),
    Column("subject", String(64), nullable=False), Column("created", BigInteger, nullable=False),
    Column("body", Text, nullable=False), Column("done", Boolean, nullable=False),
    Index("outbox_open", "done", "number"), tenant=False,
)  # fmt: skip
"""Messages to the world, written with the change they tell of; workers deliver them at least once, in order."""

notices = table(
    "notices", key("booking"), key("kind", 16), Column("at", BigInteger, nullable=False),
)  # fmt: skip
"""What riders were told: which time they know (`time`), and which notices were given."""

relays = table("relays", key("relay"), Column("number", BigInteger, nullable=False), tenant=False)
"""How far the outbox was passed on to an event bus."""

webhooks = table(
    "webhooks", key("webhook"), Column("client", String(64)), Column("url", Text, nullable=False),
    Column("secret", String(64), nullable=False), Column("topics", Text, nullable=False),
    Column("paused", Boolean, nullable=False), Column("created", BigInteger, nullable=False),
)  # fmt: skip

deliveries = table(
    "deliveries", key("webhook"), Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", String(64), nullable=False), Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False), Column("next_try", BigInteger, nullable=False),
    Column("state", String(16), nullable=False), Index("deliveries_open", "state", "number"),
)  # fmt: skip
"""Messages on their way to webhooks; each waits for those before it of the same booking."""

audit = table(
    "audit", Column("sequence", BigInteger, primary_key=True), Column("time", BigInteger, nullable=False),
    Column("tenant", String(64), nullable=False), Column("actor", String(64), nullable=False),
    Column("on_behalf_of", String(64)), Column("action", String(64), nullable=False),
    Column("resource", String(160), nullable=False), Column("digest", String(64), nullable=False),
    Column("algorithm", String(16), nullable=False), Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False), tenant=False,
)  # fmt: skip
"""One hash chain for the node: who did what to what, with digests only, never personal data."""
