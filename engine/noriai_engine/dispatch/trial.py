"""What the fleet could do if it were asked: nothing is logged, and every plan is as it was afterwards.

For searches that ask often before anybody decides, such as journeys that join rides with lines.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from noriai_engine.dispatch.terms import Ends, Walker, as_told, joined
from noriai_engine.model.places import Place, Spot
from noriai_engine.model.requests import Offer, Request
from noriai_engine.model.units import UtcMs

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher


class Trial:
    """Offers for requests that were never made."""

    def __init__(self, dispatcher: "Dispatcher", now: UtcMs) -> None:
        self._dispatcher, self.now = dispatcher, now
        self.asked = 0
        self._ends: dict[tuple[Place, Walker], tuple[Spot, int] | str] = {}

    def ends_of(self, request: Request) -> Ends | str:
        """Where its ride would begin and end, or the reason why it cannot be."""
        walker = self._dispatcher.finder.area.walker(request)
        return joined(self._end_of(request.origin, walker), self._end_of(request.destination, walker))

    def rules_out(self, request: Request) -> str | None:
        """What stands against it besides the want of a vehicle: place, time or rule."""
        ends, dispatcher = self.ends_of(request), self._dispatcher
        if isinstance(ends, str):
            return ends
        apart = np.array(dispatcher.bookings.kept_apart(request), np.int32)
        wish = dispatcher.finder.wish(request, ends, apart, self.now)
        return wish if isinstance(wish, str) else None

    def _end_of(self, place: Place, walker: Walker) -> tuple[Spot, int] | str:
        """As the area has it; a place asked for before is not looked up again."""
        if (place, walker) not in self._ends:
            self._ends[place, walker] = self._dispatcher.finder.area.end_of(place, walker)
        return self._ends[place, walker]

    def offers(
        self, request: Request, ends: Ends | None = None, after: Sequence[tuple[Request, Offer]] = ()
    ) -> tuple[Offer, ...] | str:
        """Offers as `quote` would give them, or the reason of the refusal.

        `after`: offers taken before this one, which hold their places in the plans meanwhile.
        """
        dispatcher, finder = self._dispatcher, self._dispatcher.finder
        found = self.ends_of(request) if ends is None else ends
        if isinstance(found, str):
            return found
        self.asked += 1
        with self._holding(after) as held:
            if not held:
                return "fleet.no_room"
            apart = np.array(dispatcher.bookings.kept_apart(request), np.int32)
            dispatcher._store.new_question()
            wish = finder.wish(request, found, apart, self.now)
            if isinstance(wish, str):
                return wish
            search = finder.search(wish, self.now)
            return finder.offers(request, wish, search, self.now) if search.best else search.reason

    @contextmanager
    def _holding(self, taken: Sequence[tuple[Request, Offer]]) -> Iterator[bool]:
        """Insert offers for the time being; False where one cannot be inserted any more."""
        store = self._dispatcher._store
        vehicles = sorted({self._dispatcher.index_of(offer.vehicle_id) for _, offer in taken})
        plans = store.plans
        first, count, room = plans.first.copy(), plans.count.copy(), plans.room.copy()
        blocks = [plans.rows[first[v] : first[v] + count[v]].copy() for v in vehicles]
        versions = store.version.copy()
        try:
            yield all(self._insert(number, *entry) for number, entry in enumerate(taken))
        finally:
            plans.first[:], plans.count[:], plans.room[:] = first, count, room
            for vehicle, block in zip(vehicles, blocks, strict=True):
                plans.rows[first[vehicle] : first[vehicle] + count[vehicle]] = block
            store.plans = plans
            store.version[:] = versions
            store.new_question()

    def _insert(self, number: int, request: Request, offer: Offer) -> bool:
        dispatcher = self._dispatcher
        ends = self.ends_of(request)
        if isinstance(ends, str):
            return False
        apart = np.array(dispatcher.bookings.kept_apart(request), np.int32)
        wish = dispatcher.finder.wish(request, ends, apart, self.now)
        if isinstance(wish, str):
            return False
        promised = as_told(wish, offer.pickup, offer.dropoff, dispatcher.day)
        now = dispatcher.day.to_day_ms(self.now)
        return dispatcher._store.insert(
            dispatcher.index_of(offer.vehicle_id), len(dispatcher.bookings.requests) + number, promised,
            offer.after_pickup_row, offer.after_dropoff_row, now, now + dispatcher.service.commit_horizon_ms,
        )  # fmt: skip
