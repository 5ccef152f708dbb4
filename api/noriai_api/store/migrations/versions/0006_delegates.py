"""Whom riders let act for them, and within which limits."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("clients", sa.Column("scopes", sa.Text(), nullable=True))
    op.add_column("clients", sa.Column("limits", sa.Text(), nullable=True))
    op.add_column("clients", sa.Column("made_by", sa.String(length=64), nullable=True))
