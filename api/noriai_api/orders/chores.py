"""What is due of standing orders and the waiting list."""

from sqlalchemy import select

from noriai_api.node import Node
from noriai_api.orders.standing import due, place
from noriai_api.orders.waiting import ask_again
from noriai_api.store.tables import waiting


async def look_after_wishes(node: Node) -> None:
    """What is due of standing orders and the waiting list."""
    for one in await node.read(lambda connection: due(connection, node)):
        await place(node, one)
    query = select(waiting).where(waiting.c.state == "waiting", waiting.c.until == "offers").order_by(waiting.c.quote)
    for row in await node.read(lambda connection: connection.execute(query).mappings().all()):
        if (row["tenant"], row["region"]) in node.process.held:
            await ask_again(node, row)
