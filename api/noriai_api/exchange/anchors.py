"""Heads of logs, exchanged with neighbours once a day: a signed length and Merkle root, which pins what was there."""

from typing import Any

from sqlalchemy import Connection, insert, select

from noriai_api.exchange import usage
from noriai_api.exchange.keys import HEAD, OwnKey, ProofError, opened
from noriai_api.exchange.participants import Participant
from noriai_api.exchange.processes import Here, note_incident
from noriai_api.store.exchange_tables import anchors


def head_statement(connection: Connection, here: Here, key: OwnKey, now_s: int) -> str:
    """Our log's length and root, signed."""
    hashes = [row["hash"] for row in usage.entries(connection, here.tenant)]
    claims = {"iss": here.participant, "sequence": len(hashes), "root": usage.merkle_root(hashes), "iat": now_s}
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
