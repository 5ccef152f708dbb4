"""The tables of the exchange, in the node's store. The tenant whose data it is comes first in every key.

Instants are UTC milliseconds; `body`, `offer` and the like are JSON.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text, UniqueConstraint

from noriai_api.store.tables import key, table

participants = table(
    "exchange_participants", key("participant", 255),
    Column("address", Text, nullable=False), Column("membership", Text, nullable=False),
    Column("keys", Text, nullable=False), Column("allowed", Boolean, nullable=False),
    Column("valid_to", BigInteger, nullable=False), Column("asked", BigInteger, nullable=False),
)  # fmt: skip
"""Other nodes we know, by their signed membership. `allowed` False: on the deny list. `asked`: when we last asked them
for their keys."""

proofs = table(
    "exchange_proofs", key("participant", 255), key("proof"),
    Column("expires", BigInteger, nullable=False), Index("exchange_proofs_age", "expires"),
)  # fmt: skip
"""Proofs that came with a message that changed something: each counts once, also after a restart."""

datasets = table(
    "exchange_datasets", key("dataset", 255), Column("body", Text, nullable=False),
    Column("viewers", Text, nullable=False), Column("offer", Text, nullable=False),
    Column("manual", Boolean, nullable=False), Column("made", BigInteger, nullable=False),
    Column("withdrawn", BigInteger),
)  # fmt: skip
"""What is offered: description, who may see it (a list, or null for everybody), under which terms, and whether a
person decides on each negotiation."""

processes = table(
    "exchange_processes", key("process"), Column("kind", String(16), nullable=False),
    Column("role", String(16), nullable=False), Column("peer", String(255), nullable=False),
    Column("peer_pid", String(255)), Column("peer_address", Text, nullable=False),
    Column("state", String(16), nullable=False), Column("version", Integer, nullable=False),
    Column("subject", String(255), nullable=False), Column("manual", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False), Column("changed", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("tenant", "kind", "role", "peer", "peer_pid", name="exchange_processes_once"),
    Index("exchange_processes_subject", "tenant", "kind", "subject"),
)  # fmt: skip
"""Negotiations (subject: the dataset) and transfers (subject: the agreement), each side its own row."""

messages = table(
    "exchange_messages", Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("process", String(64), nullable=False), Column("message", String(16), nullable=False),
    Column("before", String(16)), Column("url", Text, nullable=False), Column("peer", String(255), nullable=False),
    Column("body", Text, nullable=False), Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False), Column("next_try", BigInteger, nullable=False),
    Index("exchange_messages_open", "tenant", "state", "number"),
)  # fmt: skip
"""Messages on their way, written with the change they tell of. `before`: the state they were sent from."""

taken = table(
    "exchange_taken",
    key("participant", 255),
    key("message"),
    Column("process", String(64), nullable=False),
)
"""Messages that changed something here, by the id their sender gave them: a second copy changes nothing."""

agreements = table(
    "exchange_agreements", key("agreement", 255), Column("role", String(16), nullable=False),
    Column("peer", String(255), nullable=False), Column("dataset", String(255), nullable=False),
    Column("negotiation", String(64), nullable=False), Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False), Column("finalized", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False), Column("revoked", BigInteger),
)  # fmt: skip
"""Agreements in force, and those revoked: the epoch rises with each revocation, and what carries an older one ends."""

records = table(
    "exchange_records", key("dataset", 255), Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False), Column("area", String(64), nullable=False),
    Column("body", Text, nullable=False), Index("exchange_records_time", "tenant", "dataset", "time"),
)  # fmt: skip
"""What there is to share, in the order it came: each record with its instant and its area."""

received = table(
    "exchange_received", key("transfer"), Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("dataset", String(255), nullable=False), Column("peer", String(255), nullable=False),
    Column("time", BigInteger, nullable=False), Column("area", String(64), nullable=False),
    Column("body", Text, nullable=False),
)  # fmt: skip
"""What others shared with us."""

usage = table(
    "exchange_usage", Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False), Column("side", String(16), nullable=False),
    Column("peer", String(255), nullable=False), Column("agreement", String(255), nullable=False),
    Column("transfer", String(64), nullable=False), Column("uses", Integer, nullable=False),
    Column("body", Text, nullable=False), Column("hash", String(64), nullable=False),
    Index("exchange_usage_agreement", "tenant", "agreement", "side"),
    Index("exchange_usage_transfer", "tenant", "transfer", "side"),
)  # fmt: skip
"""What was served and what was received, each entry written before the bytes; every hash covers the one before."""

trees = table("exchange_trees", key("log"), Column("body", Text, nullable=False))
"""The Merkle tree over our log as it stood at its last head, so that the next one reads what came since only."""

anchors = table(
    "exchange_anchors", key("participant", 255), Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False), Column("root", String(64), nullable=False),
    Column("statement", Text, nullable=False),
)  # fmt: skip
"""Heads of other nodes' logs, signed by them: they cannot rewrite what they had by then."""

incidents = table(
    "exchange_incidents", key("incident"), Column("time", BigInteger, nullable=False),
    Column("what", String(64), nullable=False), Column("peer", String(255)), Column("process", String(64)),
    Column("body", Text, nullable=False),
)  # fmt: skip
"""What did not go as it should and was not merged silently."""

rides = table(
    "exchange_rides", key("ride"), Column("client", String(64), nullable=False),
    Column("state", String(16), nullable=False), Column("made", BigInteger, nullable=False),
    Column("next_try", BigInteger, nullable=False), Column("body", Text, nullable=False),
    Index("exchange_rides_open", "tenant", "state"),
)  # fmt: skip
"""Rides that several nodes offered to serve, and where each stands. `next_try`: when its change is looked at."""

legs = table(
    "exchange_legs", key("ride"), Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False), Column("participant", String(255)), Column("agreement", String(255)),
    Column("booking", String(64)), Column("next_try", BigInteger, nullable=False), Column("body", Text, nullable=False),
    Index("exchange_legs_open", "tenant", "state"),
)  # fmt: skip
"""Legs of rides that are being bought or were: whose fleet each is (null: ours), and where it stands. Its owner's store
has the booking."""

transfer_points = table("exchange_transfer_points", key("point"), Column("body", Text, nullable=False))
"""Places where riders may change from one town's vehicle to another's."""

pool_offers = table(
    "pool_offers", key("offer"), Column("operator", String(64), nullable=False), Column("body", Text, nullable=False)
)
"""Drivers and vehicles that other towns may borrow, and when."""

pool_loans = table(
    "pool_loans", key("loan"), Column("role", String(16), nullable=False), Column("state", String(16), nullable=False),
    Column("peer", String(255), nullable=False), Column("agreement", String(255), nullable=False),
    Column("subject", String(80), nullable=False), Column("offer", String(64), nullable=False),
    Column("begin", BigInteger, nullable=False), Column("end", BigInteger, nullable=False),
    Column("next_try", BigInteger, nullable=False), Column("body", Text, nullable=False),
    Index("pool_loans_of", "tenant", "subject", "begin"), Index("pool_loans_open", "tenant", "role", "state"),
)  # fmt: skip
"""What was lent to other towns and borrowed from them. `subject`: the driver or vehicle here, as kind:id."""

idle = table(
    "broker_idle", key("idle"), Column("operator", String(64), nullable=False), Column("body", Text, nullable=False)
)
"""Vehicles that have nothing to do at some hours of the week, by whose they are."""

proposals = table(
    "broker_proposals", key("proposal"), Column("operator", String(64), nullable=False),
    Column("state", String(16), nullable=False), Column("made", BigInteger, nullable=False),
    Column("answered", BigInteger), Column("body", Text, nullable=False),
    Index("broker_proposals_state", "tenant", "state"),
)  # fmt: skip
"""What the broker's desk proposed to operators, and what they said."""

cursors = table("exchange_cursors", key("name"), Column("value", BigInteger, nullable=False))
"""How far our log has been made into records to share, by dataset and region."""

budgets = table(
    "exchange_budgets", key("area"), key("period"),
    Column("sequence", Integer, primary_key=True, autoincrement=False), Column("release", String(64), nullable=False),
    Column("micro_epsilon", BigInteger, nullable=False), Column("spent_before", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
)  # fmt: skip
"""The privacy budget spent, release by release, in millionths of epsilon: only ever added to."""

releases = table(
    "exchange_releases", key("release"), Column("area", String(64), nullable=False),
    Column("period", String(64), nullable=False), Column("time", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)  # fmt: skip
"""Statistics as published: the same question is answered from here, at no cost."""
