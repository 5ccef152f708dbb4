"""Queries that see one tenant's rows, and of those only what a grant reaches."""

from typing import Any

from sqlalchemy import Select, Table, false

from noriai_api.access.decision import Grant


def narrowed(query: Select[Any], table: Table, grant: Grant) -> Select[Any]:
    """Only rows of the grant's tenant, and of whom it is narrowed to; none where the table cannot tell."""
    query = query.where(table.c.tenant == grant.tenant)
    for column, value in grant.only.items():
        query = query.where(table.c[column] == value if column in table.c else false())
    return query
