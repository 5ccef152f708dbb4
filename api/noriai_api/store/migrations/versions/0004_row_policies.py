"""Row policies on PostgreSQL: a transaction that is narrowed to a tenant sees and writes no other tenant's rows.

Unnarrowed connections of the node say so (`noriai.tenant` is '*'); one that says nothing sees no rows at all.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = (
    "bookings", "broker_idle", "broker_proposals", "client_keys", "clients", "deliveries", "drivers",
    "exchange_agreements", "exchange_anchors", "exchange_budgets", "exchange_cursors", "exchange_datasets",
    "exchange_incidents", "exchange_messages", "exchange_participants", "exchange_processes", "exchange_proofs",
    "exchange_received", "exchange_records", "exchange_releases", "exchange_rides", "exchange_taken", "exchange_usage",
    "holdings", "idempotency", "identities", "invitations", "log", "notices", "operators", "outbox", "overrides",
    "plans", "quotes", "regions", "rider_personal", "riders", "standing", "standing_runs", "telemetry", "tenants",
    "vehicles", "waiting", "webhooks",
)  # fmt: skip
WITHIN = "current_setting('noriai.tenant', true) IN ('*', tenant)"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")  # its owner is bound too
        op.execute(f"CREATE POLICY one_tenant ON {table} USING ({WITHIN})")
