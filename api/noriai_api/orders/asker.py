"""Whoever asked for something that is done later."""

from sqlalchemy import select

from noriai_api.access.clients import subject_of
from noriai_api.access.decision import granted
from noriai_api.guard import Caller
from noriai_api.node import Node
from noriai_api.store.tables import clients


async def caller_of(node: Node, tenant: str, client: str) -> Caller | None:
    """Whoever asked, as they would ask now; None for one whose key was revoked."""
    query = select(clients).where(clients.c.tenant == tenant, clients.c.client == client, clients.c.revoked.is_(None))
    row = await node.read(lambda connection: connection.execute(query).mappings().first())
    if row is None:
        return None
    subject = subject_of(row)
    grant = granted(subject, "booking.create")
    return None if grant is None else Caller(node, subject, grant)
