"""noriai serve: the service."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def serve(
    *,
    port: int | None = None,
    data: Path | None = None,
    database: str | None = None,
    region: Path | None = None,
    service: Path | None = None,
    host: str | None = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    settings: Path | None = None,
    check: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Serve bookings over HTTP: a working node with a made-up town, until a region is named.

    Settings come from noriai.toml, from the environment (NORIAI_PORT ...) and from here; the later outranks the
    earlier. `--check` shows them all, explained, and starts nothing.

    Example: noriai serve --port 8600 --data my-node

    Parameters
    ----------
    port
        Port to listen on; 0 for any free one.
    data
        Folder of the store; made if it is not there.
    database
        A postgresql:// URL instead of the file in the data folder.
    region
        Region bundle to serve at the first start.
    service
        service.toml with that region's hours, limits, stops and area.
    host
        Address to listen on; 0.0.0.0 for all.
    log_level
        Least severe line to log.
    settings
        A settings file other than noriai.toml.
    check
        Explain every setting, its value and where it comes from, and stop.
    json
        With --check: as JSON. Otherwise: one JSON line with address and keys on standard output.
    """
    from noriai_api.serving import run_node, show_settings
    from noriai_api.settings import load_settings

    flags = {
        "port": port, "data": data, "database": database, "region": region, "service": service, "host": host,
        "log_level": log_level,
    }  # fmt: skip
    loaded, source = load_settings(flags, settings)
    if check:
        return show_settings(loaded, source, as_json=json)
    return run_node(loaded, as_json=json)
