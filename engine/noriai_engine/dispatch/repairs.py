"""When the world breaks a plan: other times, other places, other vehicles, and only then a later time for the rider.

Order of the design notes (dispatch, section 2): the plan is timed anew, if need be with the buffers that promises were
made with; a rider changes place or vehicle, own operator first; what still cannot be kept is kept as nearly as can be,
and told.
"""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Any, cast

from noriai_engine.dispatch.finder import Candidate, Finder
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.kernels.mending import lateness, measure, remove_request, reschedule, soften
from noriai_engine.dispatch.plan_store import PlanStore
from noriai_engine.dispatch.terms import widened, without_buffers
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.units import MINUTE_MS, RecordArray, SmallArray, UtcMs
from noriai_engine.roads import TravelTimes

Kept = tuple[RecordArray, SmallArray]

WIDER_MS = tuple(minutes * MINUTE_MS for minutes in (1, 2, 4, 7, 11, 16, 23, 32, 45, 60))
"""By how much promises are widened, step by step, when no vehicle can keep them."""


@dataclass(frozen=True, slots=True)
class Move:
    """A rider's new place: from which vehicle (-1: none any more) to which, and how much later than promised."""

    request: int
    source: int
    target: int
    late_ms: int


@dataclass(frozen=True, slots=True)
class Late:
    """A limit a plan can no longer keep: the request (-1 for the vehicle's own); pickup, dropoff, break, end or ride;
    the promised latest begin and the begin now expected (day ms), of a ride its longest and expected duration."""

    vehicle: int
    request: int
    what: str
    promised: int
    expected: int


class Repairs:
    """Works on the store for the Dispatcher. `wish_for` gives the limits promised to a request by its row."""

    def __init__(
        self, store: PlanStore, finder: Finder, times: TravelTimes, vehicles: tuple[Vehicle, ...],
        wish_for: Callable[[int], Wish], fixed: Set[int] = frozenset(),
    ) -> None:  # fmt: skip
        """`fixed`: requests that stay with their vehicle."""
        self._store, self._finder, self._times, self._vehicles = store, finder, times, vehicles
        self._wish_for, self._fixed = wish_for, fixed

    def take_out(self, vehicle: int, request: int, now: int) -> None:
        """Remove a request from a plan and time the rest anew; a shorter way cannot break a promise."""
        with self._times.reading():
            remove_request(self._store.plans, vehicle, request)
            measure(self._store.roads(now), self._store.plans, vehicle)
        self._store.version[vehicle] += 1

    def mend(self, vehicle: int, now: int, instant: UtcMs) -> tuple[list[Move], list[Late]]:
        """Make a plan that was disturbed keepable again: who moved where, and which limits had to give."""
        moves: list[Move] = []
        for _ in range(len(self._movable(vehicle)) + 1):
            if self._retime(vehicle, now):
                return moves, []
            move = self._best_move(vehicle, now, instant)
            if move is None:
                break
            moves.append(move)
        return moves, self._give_way(vehicle, now)

    def dearest(self, vehicle: int, now: int) -> int | None:
        """The rider not announced yet without whom the vehicle drives least; None where there is none."""
        best: tuple[int, int] | None = None
        for request in self._movable(vehicle):
            kept = self._copy(vehicle)
            self.take_out(vehicle, request, now)
            left = int(self._rows(vehicle).leg.sum()), request
            best = left if best is None or left < best else best
            self._put_back(vehicle, kept)
        return None if best is None else best[1]

    def place(
        self, request: int, wish: Wish, instant: UtcMs, operator: str | None, wider_ms: tuple[int, ...] = WIDER_MS
    ) -> tuple[int, int] | None:
        """Put a rider without a vehicle into some plan, within the promise if that can be, else as little later as can
        be: (vehicle, ms the limits were widened by); None where nobody can, not even with the widest limits."""
        for late_ms, wider in choices(wish, wider_ms):
            found = self._find(wider, instant, operator)
            if found is not None and self._insert(found, request, wider, instant):
                return found.vehicle, late_ms
        return None

    # --- steps ----------------------------------------------------------------------------------------------

    def _retime(self, vehicle: int, now: int) -> bool:
        store = self._store
        if store.plans.count[vehicle] < 2:
            return True
        store.version[vehicle] += 1
        paths, scratch = store.paths, store.scratch
        return any(reschedule(store.fleet, store.plans, paths, vehicle, now, b, scratch) for b in (False, True))

    def _lateness(self, vehicle: int, now: int) -> int:
        store = self._store
        return int(lateness(store.fleet, store.plans, store.paths, vehicle, now, store.scratch))

    def _movable(self, vehicle: int) -> list[int]:
        """Requests of a plan whose riders are not picked up and whose pickup is not announced yet."""
        rows = self._rows(vehicle)
        waiting = (rows.kind == ActivityKind.PICKUP) & (rows.locked == 0)
        return [int(r) for r in rows.request[waiting] if int(r) not in self._fixed]

    def _rows(self, vehicle: int) -> RecordArray:
        base = int(self._store.plans.first[vehicle])
        out: Any = self._store.plans.rows[base : base + int(self._store.plans.count[vehicle])]
        return cast(RecordArray, out)

    def _best_move(self, vehicle: int, now: int, instant: UtcMs) -> Move | None:
        """The move of one rider that leaves the plan least late, at least cost; None where none helps."""
        store, before = self._store, self._lateness(vehicle, now)
        best: tuple[int, int, int] | None = None
        for request in self._movable(vehicle):
            kept = self._copy(vehicle)
            self.take_out(vehicle, request, now)
            left = self._lateness(vehicle, now)
            if left < before and (left == 0) == self._retime(vehicle, now):
                _, found = self._find_kept(request, vehicle, instant)
                if found is not None and (found.vehicle != vehicle or left == 0):
                    key = (left, found.cost_ms, request)
                    best = key if best is None or key < best else best
            self._put_back(vehicle, kept)
        if best is None:
            return None
        request = best[2]
        self.take_out(vehicle, request, now)
        self._retime(vehicle, now)
        wish, found = self._find_kept(request, vehicle, instant)
        if found is None or not self._insert(found, request, wish, instant):
            raise AssertionError(f"request {request} lost the place it was promised a moment ago")
        store.version[vehicle] += 1
        return Move(request, vehicle, found.vehicle, 0)

    def _give_way(self, vehicle: int, now: int) -> list[Late]:
        """Accept the least lateness of the sequence as it is: widen what cannot be kept."""
        store = self._store
        rows, late = self._rows(vehicle), []
        self._lateness(vehicle, now)
        begins = store.scratch.rows.begin[: len(rows)]
        for k, row in enumerate(rows):
            request, what = int(row.request), ActivityKind(int(row.kind)).name.lower()
            if k and begins[k] > row.promised:
                late.append(Late(vehicle, request, what, int(row.promised), int(begins[k])))
            if row.partner > 0:
                ride = int(begins[k] - begins[row.partner] - rows[row.partner].service)
                if ride > (told := int(row.ride_limit + row.ride_spare)):
                    late.append(Late(vehicle, request, "ride", told, ride))
        soften(store.plans, vehicle, store.scratch)
        return late

    def _find_kept(self, request: int, vehicle: int, instant: UtcMs) -> tuple[Wish, Candidate | None]:
        """Another place for a rider within the promise, with its buffer if there is one."""
        wish, operator = self._wish_for(request), self._vehicles[vehicle].operator_id
        for _, wider in choices(wish):
            found = self._find(wider, instant, operator)
            if found is not None:
                return wider, found
        return wish, None

    def _find(self, wish: Wish, instant: UtcMs, operator: str | None) -> Candidate | None:
        self._store.new_question()
        found = self._finder.search(wish, instant).best
        own = [c for c in found if self._vehicles[c.vehicle].operator_id == operator]
        return next(iter([*own, *found]), None)

    def _insert(self, found: Candidate, request: int, wish: Wish, instant: UtcMs) -> bool:
        return self._finder.insert(found, request, wish, instant)

    def _copy(self, vehicle: int) -> Kept:
        return self._rows(vehicle).copy(), self._store.plans.aboard[vehicle].copy()

    def _put_back(self, vehicle: int, kept: Kept) -> None:
        plans, base = self._store.plans, int(self._store.plans.first[vehicle])
        plans.count[vehicle] = len(kept[0])
        plans.rows[base : base + len(kept[0])] = kept[0]
        plans.aboard[vehicle] = kept[1]


def choices(wish: Wish, wider_ms: tuple[int, ...] = ()) -> Iterator[tuple[int, Wish]]:
    """Limits to try for a rider who lost a place, each with the ms by which it breaks the promise: those planned by,
    those promised, and then wider ones."""
    yield 0, wish
    if max(wish.pickup_spare, wish.dropoff_spare, wish.ride_spare) > 0:
        yield 0, without_buffers(wish)
    for late_ms in wider_ms:
        yield late_ms, widened(wish, late_ms)
