"""What operators report by MDS."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "mds_reported",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "id"),
    )
    op.create_index("mds_reported_of", "mds_reported", ["tenant", "device", "kind", "time"])
    if op.get_bind().dialect.name == "postgresql":
        within = "current_setting('noriai.tenant', true) IN ('*', tenant)"
        op.execute("ALTER TABLE mds_reported ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE mds_reported FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY one_tenant ON mds_reported USING ({within})")
