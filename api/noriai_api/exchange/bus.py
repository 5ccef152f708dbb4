"""Pages over NATS JetStream, for parties that have a bus between them anyway: the provider publishes on a subject of
the transfer's own, the consumer reads it when it can.

Whoever else may read the bus sees nothing: pages are encrypted (JWE, A256GCM) with a key that the provider tells the
consumer in the transfer's start message. A page is confirmed by the server before the next leaves, is known by its
transfer and cursor, so that a second copy is dropped, and is deleted with the transfer.
"""

import contextlib
import hmac
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from noriai_api.events.relay import client
from noriai_engine.model.errors import InputError

STREAM, SUBJECTS = "noriai-exchange", "noriai-exchange.>"
ANSWER_S = 5.0
KEEP_S = 3 * 86_400
"""A page that nobody has read by then is dropped; the consumer asks for a new transfer."""
FETCH = 20


def subject_of(transfer: str) -> str:
    return f"noriai-exchange.{transfer}"


def key_for(secret: bytes, transfer: str, epoch: int) -> str:
    """The key of a transfer's pages, hexadecimal: 256 bits that only holders of our secret can make."""
    return hmac.digest(secret, f"noriai bus page key {transfer} {epoch}".encode(), "sha256").hex()


class _Pages(jwe.JWERegistry):
    """Pages are longer than what JWE is mostly used for."""

    max_ciphertext_length = 16_000_000


_REGISTRY = _Pages(algorithms=["dir", "A256GCM"])


class TooLargeError(InputError):
    """A page that the server does not take."""


def sealed(payload: bytes, key: str) -> bytes:
    """A page that only holders of the key can read."""
    header = {"alg": "dir", "enc": "A256GCM"}
    return jwe.encrypt_compact(header, payload, OctKey.import_key(bytes.fromhex(key)), registry=_REGISTRY).encode()


def unsealed(text: bytes, key: str) -> bytes:
    """Raises InputError for what was not sealed with the key."""
    try:
        found = jwe.decrypt_compact(text, OctKey.import_key(bytes.fromhex(key)), registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise InputError("cannot be opened", where="page on the bus", remedy="ask for a new transfer") from error
    return found.plaintext or b""


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Any]:
    """JetStream of a server, with our stream in it. Raises OSError where it cannot be reached."""
    nats = client()
    try:
        server = await nats.connect(address, connect_timeout=ANSWER_S, allow_reconnect=False, error_cb=_ignore)
    except (nats.errors.Error, TimeoutError) as error:
        raise OSError(f"{_named(address)} cannot be reached") from error
    try:
        yield server.jetstream(timeout=ANSWER_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise OSError(f"{_named(address)}: {type(error).__name__}") from error
    finally:
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            await server.close()


async def prepare(stream: Any) -> None:
    """Make the stream if it is not there."""
    nats = client()
    try:
        await stream.stream_info(STREAM)
    except nats.js.errors.NotFoundError:
        await stream.add_stream(name=STREAM, subjects=[SUBJECTS], max_age=KEEP_S, duplicate_window=600)


async def publish(stream: Any, transfer: str, cursor: int, page: bytes, statement: str) -> None:
    """Publish a sealed page; the server has it once this returns. Raises TooLargeError."""
    headers = {"Noriai-Usage": statement, "Nats-Msg-Id": f"{transfer}:{cursor}"}
    try:
        await stream.publish(subject_of(transfer), page, headers=headers)
    except client().errors.MaxPayloadError:
        raise TooLargeError(f"has {len(page)} bytes", where="page on the bus", remedy="raise max_payload") from None


async def forget(address: str, transfer: str) -> None:
    """Delete what nobody has read of a transfer that is over; the server may be away: it drops pages by itself."""
    with contextlib.suppress(OSError):
        async with connected(address) as stream:
            await stream.purge_stream(STREAM, subject=subject_of(transfer))


async def messages(stream: Any, transfer: str, reader: str) -> AsyncGenerator[Any | None, None]:
    """What is on a transfer's subject and not confirmed by the reader yet, as it comes; None now and then where nothing
    does. A message that is not confirmed comes again."""
    subscription = await stream.pull_subscribe(subject_of(transfer), durable=reader, stream=STREAM)
    while True:
        try:
            for message in await subscription.fetch(FETCH, timeout=1.0):
                yield message
        except TimeoutError:  # the library's own is one
            yield None


def may_connect(endpoint: str, peer_address: str, own: str) -> bool:
    """A neighbour may send us to its own host, or to the bus we have ourselves; nowhere else."""
    return endpoint == own or urlsplit(endpoint).hostname == urlsplit(peer_address).hostname


def _named(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"  # without user and password


async def _ignore(error: Exception) -> None:
    """Errors come as exceptions where they matter."""
