"""Where a ride begins and ends: at the door, or on foot at meeting points where that is cheapest, walks included."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noriai_engine.dispatch.finder import Candidate, Search
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.terms import Ends
from noriai_engine.model.requests import Request

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher


class _Option(NamedTuple):
    """Ends of a ride, what the walks weigh (ms of driving), and what the fleet could do as of now, or why it could
    do nothing."""

    ends: Ends
    walk_cost: int
    found: tuple[Wish, Search] | str


class Choosing:
    """The part of one Dispatcher that chooses where rides begin and end. Plans stay as they are."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._d = dispatcher

    def best(self, request: Request) -> tuple[Wish, Search] | str:
        """What the fleet could do for a request that was received, or the reason that rules it out. Its ends become
        those that cost least, at the door where nothing can be done; ties go to the first."""
        d, at_door = self._d, None
        best: tuple[int, _Option] | None = None
        for option in self._options(request, self._door_of(request)):
            at_door = at_door or option
            if isinstance(option.found, str) or not option.found[1].best:
                continue
            cost = option.found[1].best[0].cost_ms + option.walk_cost
            if best is None or cost < best[0]:
                best = cost, option
        assert at_door is not None
        chosen = at_door if best is None else best[1]
        d.bookings.ends[d.bookings.row_of[request.id]] = chosen.ends
        if isinstance(chosen.found, str) or chosen is option:
            return chosen.found
        wish = chosen.found[0]
        d._store.new_question()  # another was asked last: offers need what was looked up for this one
        return wish, d.finder.search(wish, d._clock.now())

    def cheapest(self, request: Request, vehicles: Collection[int]) -> tuple[Ends, Wish, Candidate] | None:
        """The same for a ride that is in no plan, on one of some vehicles; None where the best of the fleet are others
        or nobody could. Nothing is noted."""
        best: tuple[int, tuple[Ends, Wish, Candidate]] | None = None
        for option in self._options(request, self._door_of(request)):
            if isinstance(option.found, str):
                continue
            wish, search = option.found
            for candidate in search.best:
                cost = candidate.cost_ms + option.walk_cost
                if candidate.vehicle in vehicles and (best is None or cost < best[0]):
                    best = cost, (option.ends, wish, candidate)
        return None if best is None else best[1]

    def _options(self, request: Request, door: Ends) -> Iterator[_Option]:
        """The door first."""
        d, now = self._d, self._d._clock.now()
        apart = np.array(d.bookings.kept_apart(request), np.int32)
        for ends in d.finder.area.choices(request, door):
            d._store.new_question()
            wish = d.finder.wish(request, ends, apart, now)
            walk_ms = ends.walk_to_ms + ends.walk_from_ms if ends != door else 0
            found = wish if isinstance(wish, str) else (wish, d.finder.search(wish, now))
            yield _Option(ends, walk_ms * d.service.walk_permille // 1_000, found)

    def _door_of(self, request: Request) -> Ends:
        """Of a request that was received: who was asked for before may have been to walk."""
        ends = self._d.ends_of(request.id)
        if ends.walk_to_ms or ends.walk_from_ms:
            again = self._d.finder.area.ends_of(request)
            assert isinstance(again, Ends)
            return again
        return ends
