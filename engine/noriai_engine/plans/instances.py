"""Benchmark files: Cordeau/Ropke dial-a-ride, Li & Lim, Sartori & Buriol; told apart by their content."""

from pathlib import Path

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.plans.problem import NO_LIMIT, Array, Problem

Rows = list[tuple[int, list[str]]]


def read_instance(file: Path) -> Problem:
    """Read a benchmark file. Raises InputError with file and row where it cannot be understood."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"{file}: cannot be read ({why})", remedy="name a benchmark file") from error
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        raise InputError(f"{file}: is empty", remedy="name a benchmark file")
    if ":" in rows[0][1][0]:
        return _sartori_buriol(file, rows)
    columns = len(rows[0][1])
    if columns == 5:
        return _cordeau(file, rows)
    if columns == 3:
        return _li_lim(file, rows)
    raise InputError(
        f"{file}, row {rows[0][0]}: {columns} numbers in the header",
        remedy="5 for dial-a-ride (K N T Q L), 3 for Li & Lim (K Q speed), 'NAME: ...' for Sartori & Buriol",
    )


def _numbers(file: Path, rows: Rows, columns: int) -> Array:
    table = np.empty((len(rows), columns))
    for index, (number, words) in enumerate(rows):
        if len(words) != columns:
            raise InputError(f"{file}, row {number}: {len(words)} fields, not {columns}", remedy="complete the row")
        for column, word in enumerate(words):
            try:
                table[index, column] = float(word)
            except ValueError:
                raise InputError(
                    f"{file}, row {number}, field {column + 1}: {word!r} is no number", remedy="write a number there"
                ) from None
        if not np.isfinite(table[index]).all():
            raise InputError(f"{file}, row {number}: a number is not finite", remedy="write a finite number")
    return table


def _counted(file: Path, rows: Rows, table: Array) -> None:
    """Nodes are numbered 0, 1, 2, ... in order."""
    for index, (number, words) in enumerate(rows):
        if table[index, 0] != index:
            raise InputError(f"{file}, row {number}: node {words[0]} where {index} is due", remedy="number from 0 up")


def _windows(file: Path, rows: Rows, early: Array, late: Array, service: Array) -> None:
    for index, (number, _) in enumerate(rows):
        if late[index] < early[index]:
            raise InputError(f"{file}, row {number}: window ends before it starts", remedy="let e be at most l")
        if service[index] < 0:
            raise InputError(f"{file}, row {number}: service below 0", remedy="give 0 or more")


def _cordeau(file: Path, rows: Rows) -> Problem:
    """Header K N T Q L with N = 2n; an end depot as row 2n + 1 is left out (Cordeau & Laporte 2003, Cordeau 2006)."""
    k, n2, longest, capacity, max_ride = _numbers(file, rows[:1], 5)[0]
    body = rows[1:]
    if n2 % 2 or len(body) not in (n2 + 1, n2 + 2):
        raise InputError(
            f"{file}: header names {n2:g} stops (twice the requests), {len(body)} rows follow",
            remedy="a depot row, 2n stops and at most one end depot",
        )
    body = body[: int(n2) + 1]
    table = _numbers(file, body, 7)
    _counted(file, body, table)
    n = int(n2) // 2
    xy, service, load, early, late = table[:, 1:3], table[:, 3], table[:, 4], table[:, 5], table[:, 6]
    _windows(file, body, early, late, service)
    for i in range(1, n + 1):
        if load[i] <= 0 or load[i + n] != -load[i] or load[i] != int(load[i]):
            raise InputError(
                f"{file}, rows {body[i][0]} and {body[i + n][0]}: loads {load[i]:g} and {load[i + n]:g} of request {i}",
                remedy="give the pickup a whole load above 0 and the delivery its negative",
            )
    pickup = np.arange(1, n + 1)
    return _plain(
        file, xy=xy, travel=None, early=early, late=late, service=service, pickup=pickup, delivery=pickup + n,
        load=load[1 : n + 1], capacity=capacity, vehicles=int(k), duration=longest, max_ride=max_ride,
    )  # fmt: skip


def _li_lim(file: Path, rows: Rows) -> Problem:
    """Header K Q speed; rows id x y demand e l service pickup delivery (Li & Lim 2001). Times are distances in every
    published file; eight of them say speed 0."""
    k, capacity, speed = _numbers(file, rows[:1], 3)[0]
    if speed not in (0, 1):
        raise InputError(f"{file}, row {rows[0][0]}: speed {speed:g}", remedy="only speed 1 is in use (0 is read as 1)")
    body = rows[1:]
    table = _numbers(file, body, 9)
    _counted(file, body, table)
    pickup, delivery, load = _pairs(file, body, table)
    _windows(file, body, table[:, 4], table[:, 5], table[:, 6])
    return _plain(
        file, xy=table[:, 1:3], travel=None, early=table[:, 4], late=table[:, 5], service=table[:, 6], pickup=pickup,
        delivery=delivery, load=load, capacity=capacity, vehicles=int(k), fewest=True,
    )  # fmt: skip


def _pairs(file: Path, body: Rows, table: Array) -> tuple[Array, Array, Array]:
    """Pickups, deliveries and loads of the last two columns (pickup, delivery) and the demand column."""
    pickup, delivery, load = [], [], []
    partner = table[:, 7:9].astype(int)
    for index in range(1, len(body)):
        p, d = partner[index]
        other = p + d
        if (p > 0) == (d > 0) or other == index or not 0 < other < len(body) or partner[other].sum() != index:
            raise InputError(
                f"{file}, row {body[index][0]}: pickup {p} and delivery {d} name no pair",
                remedy="a pickup names its delivery, a delivery its pickup, each in one direction only",
            )
        if d > 0:
            demand = table[index, 3]
            if demand <= 0 or table[d, 3] != -demand or demand != int(demand):
                raise InputError(
                    f"{file}, rows {body[index][0]} and {body[d][0]}: demands {demand:g} and {table[d, 3]:g}",
                    remedy="give the pickup a whole demand above 0 and the delivery its negative",
                )
            pickup.append(index)
            delivery.append(d)
            load.append(demand)
    return np.array(pickup, int), np.array(delivery, int), np.array(load)


def _sartori_buriol(file: Path, rows: Rows) -> Problem:
    """`KEY: value` header, NODES, EDGES (the full matrix), EOF (Sartori & Buriol 2020)."""
    head: dict[str, str] = {}
    at = 0
    while at < len(rows) and rows[at][1] != ["NODES"]:
        key, _, value = " ".join(rows[at][1]).partition(":")
        head[key.strip()] = value.strip()
        at += 1
    try:
        size, capacity = int(head["SIZE"]), float(head["CAPACITY"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{file}: header lacks {error}", remedy="give SIZE and CAPACITY as numbers") from error
    body = rows[at + 1 : at + 1 + size]
    matrix = rows[at + 2 + size : at + 2 + 2 * size]
    if len(body) < size or len(matrix) < size or rows[at + 1 + size][1] != ["EDGES"]:
        raise InputError(
            f"{file}: not {size} nodes and {size} rows of the matrix", remedy="NODES, then EDGES, as SIZE says"
        )
    table = _numbers(file, body, 9)
    _counted(file, body, table)
    pickup, delivery, load = _pairs(file, body, table)
    _windows(file, body, table[:, 4], table[:, 5], table[:, 6])
    return _plain(
        file, xy=None, travel=_numbers(file, matrix, size), early=table[:, 4], late=table[:, 5], service=table[:, 6],
        pickup=pickup, delivery=delivery, load=load, capacity=capacity, vehicles=len(pickup), fewest=True, limit=False,
    )  # fmt: skip


def _plain(
    file: Path, *, xy: Array | None, travel: Array | None, early: Array, late: Array, service: Array, pickup: Array,
    delivery: Array, load: Array, capacity: float, vehicles: int, duration: float = NO_LIMIT,
    max_ride: float = NO_LIMIT, fewest: bool = False, limit: bool = True,
) -> Problem:  # fmt: skip
    """One depot at node 0, equal vehicles, every request to be served; time is distance."""
    if vehicles < 1 or capacity < 1:
        raise InputError(f"{file}: {vehicles} vehicles of capacity {capacity:g}", remedy="give at least 1 of each")
    if not len(pickup):
        raise InputError(f"{file}: no request", remedy="name a file with requests")
    if xy is not None:
        travel = np.hypot(*(xy[:, None, :] - xy[None, :, :]).transpose(2, 0, 1))
    assert travel is not None
    m = len(pickup)
    depot = np.zeros(vehicles, int)
    return Problem(
        name=file.stem, label=tuple(str(i) for i in range(len(travel))), travel=travel, cost=travel[None], early=early,
        late=late, service=service, pickup=pickup, delivery=delivery, demand=load[:, None].astype(int),
        layouts=(np.array([[int(capacity)]]),), kind=depot, start=depot, end=depot,
        duration=np.full(vehicles, duration), fixed=np.zeros(vehicles), max_ride=np.full(m, max_ride),
        price=np.full(m, np.inf), fewest_vehicles=fewest, vehicle_limit=limit,
    )  # fmt: skip
