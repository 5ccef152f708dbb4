"""Rides of several legs with the places where riders change between them; drivers and vehicles lent between towns."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TABLES = ("exchange_legs", "exchange_transfer_points", "exchange_trees", "pool_offers", "pool_loans")
NEVER = 2**62
WITHIN = "current_setting('noriai.tenant', true) IN ('*', tenant)"


def upgrade() -> None:
    op.create_table(
        "exchange_legs",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("ride", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("participant", sa.String(length=255), nullable=True),
        sa.Column("agreement", sa.String(length=255), nullable=True),
        sa.Column("booking", sa.String(length=64), nullable=True),
        sa.Column("next_try", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "ride", "number"),
    )
    op.create_index("exchange_legs_open", "exchange_legs", ["tenant", "state"], unique=False)
    op.create_table(
        "exchange_transfer_points",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("point", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "point"),
    )
    op.create_table(
        "exchange_trees",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("log", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "log"),
    )
    op.create_table(
        "pool_offers",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("offer", sa.String(length=64), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "offer"),
    )
    op.create_table(
        "pool_loans",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("loan", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("peer", sa.String(length=255), nullable=False),
        sa.Column("agreement", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("offer", sa.String(length=64), nullable=False),
        sa.Column("begin", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("next_try", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "loan"),
    )
    op.create_index("pool_loans_of", "pool_loans", ["tenant", "subject", "begin"], unique=False)
    op.create_index("pool_loans_open", "pool_loans", ["tenant", "role", "state"], unique=False)
    _rides_as_legs()
    with op.batch_alter_table("exchange_rides") as rides:
        for column in ("owner", "agreement", "booking"):
            rides.drop_column(column)
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY one_tenant ON {table} USING ({WITHIN})")


def _rides_as_legs() -> None:
    """What was taken of a ride becomes its one leg; offers become lists of legs."""
    rides = sa.table("exchange_rides", *(sa.column(name) for name in ("tenant", "ride", "state", "booking", "next_try",
                                                                      "body")))  # fmt: skip
    legs = sa.table("exchange_legs", *(sa.column(name) for name in (
        "tenant", "ride", "number", "state", "participant", "agreement", "booking", "next_try", "body")))  # fmt: skip
    connection = op.get_bind()
    for row in connection.execute(sa.select(rides)).mappings().all():
        body = json.loads(row["body"])
        offers, taken = body["offers"], body.pop("taken", None)
        if taken is not None:
            part = {"agreement": None, **offers[taken]}
            connection.execute(sa.insert(legs).values(
                tenant=row["tenant"], ride=row["ride"], number=0, state=row["state"], participant=part["participant"],
                agreement=part["agreement"], booking=row["booking"], next_try=row["next_try"],
                body=json.dumps({"part": part, "key": row["ride"], "bought_at": body.get("bought_at", 0),
                                 "said": body.get("said", {})}),
            ))  # fmt: skip
            body |= {"legs": [0], "taken": taken, "at": 0, "then": "given_up"}
        body["offers"] = [{"legs": [{"agreement": None, **offer}], "change": None} for offer in offers]
        mine = (rides.c.tenant == row["tenant"], rides.c.ride == row["ride"])
        again = row["next_try"] if row["state"] in ("buying", "giving_back") else NEVER
        connection.execute(sa.update(rides).where(*mine).values(body=json.dumps(body), next_try=again))
