"""The budget of privacy: what was spent on an area's riders in a period, release by release, never more than allowed.

A release is charged before it is made. One that was charged and not yet made (a crash between) is made without a second
charge: nothing of it had left. The same question later is answered from what was published, at no cost.
"""

import json
from typing import Any

from sqlalchemy import Connection, func, insert, select

from noriai_api.store.exchange_tables import budgets, releases
from noriai_engine.model.errors import InputError


class BudgetError(InputError):
    """The period's budget does not suffice; nothing was charged."""


def charge(
    connection: Connection, tenant: str, area: str, period: str, release: str, micro: int, limit: int, now: int
) -> bool:
    """Charge a release (millionths of epsilon); False where it was charged before. Raises BudgetError."""
    mine = (budgets.c.tenant == tenant, budgets.c.area == area, budgets.c.period == period)
    if connection.execute(select(budgets.c.sequence).where(*mine, budgets.c.release == release)).first() is not None:
        return False
    before = spent(connection, tenant, area, period)
    if micro <= 0 or before + micro > limit:
        raise BudgetError(
            f"{micro / 1e6:g} is asked for, {max(0, limit - before) / 1e6:g} of {limit / 1e6:g} is left",
            where=f"privacy budget of {area} in {period}",
            remedy="ask for less, or wait for the next period; what was published stays free",
        )  # fmt: skip
    count = int(connection.execute(select(func.count()).select_from(budgets).where(*mine)).scalar_one())
    connection.execute(
        insert(budgets).values(
            tenant=tenant, area=area, period=period, sequence=count, release=release, micro_epsilon=micro,
            spent_before=before, time=now,
        )
    )  # fmt: skip
    return True


def spent(connection: Connection, tenant: str, area: str, period: str) -> int:
    """Millionths of epsilon spent."""
    mine = (budgets.c.tenant == tenant, budgets.c.area == area, budgets.c.period == period)
    return int(
        connection.execute(select(func.coalesce(func.sum(budgets.c.micro_epsilon), 0)).where(*mine)).scalar_one()
    )


def published(connection: Connection, tenant: str, release: str) -> dict[str, Any] | None:
    """A release as it was published."""
    where = (releases.c.tenant == tenant, releases.c.release == release)
    found = connection.execute(select(releases.c.body).where(*where)).scalar()
    return None if found is None else dict(json.loads(found))


def keep(
    connection: Connection, tenant: str, area: str, period: str, release: str, body: dict[str, Any], now: int
) -> dict[str, Any]:
    """Publish a release; where another was quicker with the same question, theirs is the one."""
    known = published(connection, tenant, release)
    if known is not None:
        return known
    connection.execute(
        insert(releases).values(
            tenant=tenant, release=release, area=area, period=period, time=now,
            body=json.dumps(body, ensure_ascii=False, sort_keys=True),
        )
    )  # fmt: skip
    return body
