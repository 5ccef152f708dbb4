"""Heads of logs, exchanged with neighbours once a day: a signed length and Merkle root, which pins what was there."""

import json
from typing import Any

from sqlalchemy import Connection, insert, select

from noriai_api.exchange import usage
from noriai_api.exchange.keys import HEAD, OwnKey, ProofError, opened
from noriai_api.exchange.participants import Participant
from noriai_api.exchange.processes import Here, note_incident
from noriai_api.store.exchange_tables import anchors, trees


def head_statement(connection: Connection, here: Here, upsert: Any, key: OwnKey, now_s: int) -> str:
    """Our log's length and root, signed. The tree grows from where it was at the last head: entries before are not
    read again, so that one rewritten since then does not fit the heads that neighbours hold."""
    where = (trees.c.tenant == here.tenant,)
    body = connection.execute(select(trees.c.body).where(*where)).scalar()
    peaks: usage.Peaks = () if body is None else tuple((size, found) for size, found in json.loads(body))
    length = sum(size for size, _ in peaks)
    peaks = usage.grown(peaks, (row["hash"] for row in usage.walk(connection, here.tenant, length - 1)))
    connection.execute(upsert(trees), [{"tenant": here.tenant, "log": "usage", "body": json.dumps(peaks)}])
    length = sum(size for size, _ in peaks)
    claims = {"iss": here.participant, "sequence": length, "root": usage.root_of(peaks), "iat": now_s}
    return key.sign(HEAD, claims)


def keep(connection: Connection, here: Here, known: Participant, text: str, now_s: int) -> None:
    """Keep a neighbour's head. One that contradicts an earlier head of theirs is an incident, and kept beside it.

    Raises ProofError.
    """
    claims = opened(text, HEAD, known.keys, now_s)
    if claims["iss"] != known.participant or not isinstance(claims["sequence"], int):
        raise ProofError("wrong_issuer")
    where = (anchors.c.tenant == here.tenant, anchors.c.participant == known.participant)
    last = connection.execute(
        select(anchors.c.sequence, anchors.c.root).where(*where).order_by(anchors.c.sequence.desc()).limit(1)
    ).first()
    if last is not None and (
        claims["sequence"] < last.sequence or (claims["sequence"] == last.sequence and claims["root"] != last.root)
    ):
        details = {"kept": [last.sequence, last.root], "said": [claims["sequence"], claims["root"]]}
        note_incident(connection, here, "log_rewritten", None, details, peer=known.participant)
        return
    if last is None or claims["sequence"] > last.sequence:
        row: dict[str, Any] = {
            "tenant": here.tenant, "participant": known.participant, "sequence": claims["sequence"],
            "time": here.now, "root": str(claims["root"]), "statement": text,
        }  # fmt: skip
        connection.execute(insert(anchors).values(**row))


def of_peer(connection: Connection, tenant: str, participant: str) -> list[tuple[int, str]]:
    """The (length, root) pairs we hold of a neighbour's log."""
    where = (anchors.c.tenant == tenant, anchors.c.participant == participant)
    query = select(anchors.c.sequence, anchors.c.root).where(*where).order_by(anchors.c.sequence)
    return [(row.sequence, row.root) for row in connection.execute(query)]
