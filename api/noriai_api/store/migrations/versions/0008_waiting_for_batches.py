"""Riders who wait for a batch or the plan of the day: what for, and what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("waiting", sa.Column("until", sa.String(length=8), nullable=False, server_default="offers"))
    op.add_column("waiting", sa.Column("booking", sa.String(length=64), nullable=True))
    op.add_column("waiting", sa.Column("reason", sa.String(length=64), nullable=True))
    op.add_column("standing_runs", sa.Column("quote", sa.String(length=64), nullable=True))
    op.create_index("waiting_fresh", "waiting", ["tenant", "fresh_quote"], unique=False)
