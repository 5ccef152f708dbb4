"""Rides and lines together on a region with its feed and 50 vehicles: time of a search, questions to the plans, and how
many the two-round protocol (rule out, then confirm) would ask at least.

The protocol asks, for each stop within reach of either end, whether a ride could be had; here once for a stop that is
served within the window at all, the fewest it could do with, and without the round that confirms. Rides cost 5.00 and
0.04 a second of the direct drive, lines what the feed says. Porto Alegre needs a region of its own:

    noriai region build --osm portoalegre.osm.pbf --gtfs portoalegre-eptc.zip -o poa
    .venv/bin/python benchmarks/suites/joint.py poa --date 2019-05-08 --time 12:30
"""

import argparse
import time
from datetime import date
from pathlib import Path

import numpy as np

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.model import (
    IdSource,
    Place,
    Request,
    Resources,
    Service,
    ServiceDay,
    Shift,
    Vehicle,
    VirtualClock,
)
from noriai_engine.model.units import OperatorId, RequestId, VehicleId
from noriai_engine.regions import open_region
from noriai_engine.roads import TravelTimes, haversine_m
from noriai_gtfs import read_feed
from noriai_gtfs.fares import Price, fares_of
from noriai_gtfs.joint import JointParams, JointSearch, Traveller
from noriai_gtfs.journeys import JourneySearch, SearchParams
from noriai_gtfs.timetable import build_timetable, day_timetable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("region", type=Path)
    parser.add_argument("--date", type=date.fromisoformat, required=True)
    parser.add_argument("--time", default="08:00")
    parser.add_argument("--searches", type=int, default=150)
    parser.add_argument("--vehicles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    region = open_region(args.region)
    day = ServiceDay(args.date, region.timezone)
    feeds = [read_feed(region.folder / "gtfs" / feed.file) for feed in region.feeds]
    table = build_timetable(feeds, [feed.file for feed in region.feeds], walk_m=200)
    lines = JourneySearch(day_timetable(table, args.date), SearchParams(change_ms=60_000))
    rng = np.random.default_rng(args.seed)
    network = region.network

    def place() -> Place:
        node = int(rng.integers(len(network.node_lon)))
        return Place(float(network.node_lon[node]), float(network.node_lat[node]))

    clock = VirtualClock(day.at(args.time))
    shift = Shift(day.at("05:00"), day.at("23:00"))
    fleet = [
        Vehicle(VehicleId(f"v{k}"), OperatorId("op"), "taxi", (Resources(4, 1, 2),), shift, place(), ())
        for k in range(args.vehicles)
    ]  # fmt: skip
    ids = IdSource(clock, np.random.default_rng(0))
    dispatcher = Dispatcher(TravelTimes(network), Service(), fleet, day, clock, ids)
    for k in range(3 * args.vehicles):
        wished = day.to_utc(int(day.to_day_ms(clock.now())) + int(rng.integers(0, 3_600_000)))
        quote = dispatcher.quote(Request(RequestId(f"b{k}"), clock.now(), place(), place(), wished))
        if quote.offers:
            dispatcher.commit(quote.offers[0])
    params = JointParams()
    fares = fares_of(feeds[0])
    currency = next(iter(feeds[0].get("fare_attributes").column_or_blank("currency_type").values), "EUR")
    search = JointSearch(
        dispatcher, lines, params, fares=fares if len(feeds) == 1 else None,
        ride_price=lambda offer: Price(500 + 4 * offer.direct_ms // 1000, currency),
    )  # fmt: skip
    begin = int(day.to_day_ms(clock.now()))
    spent, asked, protocol, joint, offers, booked = [], [], [], 0, 0, 0
    for k in range(args.searches):
        who = Traveller(f"t{k}", place(), place(), begin + int(rng.integers(0, 3_600_000)))
        started = time.perf_counter()
        found = search.offers(who)
        spent.append(time.perf_counter() - started)
        asked.append(search.asked)
        protocol.append(sum(_events(lines, end, params, who.depart_ms) for end in (who.origin, who.destination)))
        offers += len(found)
        joint += sum(offer.uses_line and bool(offer.booked) for offer in found)
        for offer in found:
            if offer.booked and k % 5 == 0:
                kept = dispatcher.snapshot()
                search.book(offer)
                dispatcher.restore(kept)
                booked += 1
    print(f"{region.name}: {args.vehicles} vehicles, {3 * args.vehicles} requests before, {args.searches} searches")
    print(f"search: median {1000 * np.median(spent[5:]):.1f} ms, p95 {1000 * np.quantile(spent[5:], 0.95):.1f} ms")
    print(f"questions to the plans: mean {np.mean(asked):.1f}; two-round protocol {np.mean(protocol):.0f}"
          f" ({np.mean(protocol) / np.mean(asked):.0f} x)")  # fmt: skip
    print(f"offers {offers}, of them with a line and a ride {joint}; every offer tried ({booked}) could be booked")


def _events(lines: JourneySearch, end: Place, params: JointParams, start: int) -> int:
    """Stops within reach of an end that vehicles leave within the search's horizon."""
    table = lines.day.timetable
    metres = haversine_m(
        np.full(table.stops, end.lon), np.full(table.stops, end.lat), table.stop_lon, table.stop_lat
    )  # fmt: skip
    near = np.flatnonzero(metres <= params.hub_m).tolist()
    return sum(bool(lines.departures_at(stop, start, start + params.horizon_ms)) for stop in near)


if __name__ == "__main__":
    main()
