"""Kernels with fixed seeds. `python -m pytest benchmarks/micro -n 0 --benchmark-enable -o pythonpath=tests`"""

from __future__ import annotations

from typing import Any

import numpy as np

from noriai_engine.model import Spot, VirtualClock
from noriai_engine.regions import open_region
from noriai_engine.roads import TravelTimes
from noriai_engine.world.day import Day
from noriai_simulations import shipped
from noriai_simulations.scenario import load_scenario


def test_a_thousand_spots_from_one_on_coquimbo(benchmark: Any) -> None:
    """34,089 states: times from a vehicle to 1,000 stops."""
    times = TravelTimes(open_region(shipped.region_folder("coquimbo")).network)
    rng = np.random.default_rng(1)
    stops, zeros = rng.integers(0, times.graph.state_count, 1_000).astype(np.int32), np.zeros(1_000, np.int32)
    sources = iter(rng.integers(0, times.graph.state_count, 1_000_000).tolist())
    benchmark(lambda: times.to_spots(Spot(next(sources)), stops, zeros))


def test_search_over_the_fleet_at_noon(benchmark: Any) -> None:
    """One exact search over the 62 vehicles of the Coquimbo day, in the middle of it."""
    from noriai_engine.dispatch.dispatcher import Dispatcher
    from noriai_engine.model import IdSource, UtcMs

    scenario = load_scenario(shipped.scenario_file("coquimbo-day"))
    clock = VirtualClock(UtcMs(min(r.placed_at for r in scenario.requests)))
    times = TravelTimes(scenario.region.network)
    dispatcher = Dispatcher(
        times, scenario.service, scenario.vehicles, scenario.day, clock, IdSource(clock, np.random.default_rng(1))
    )
    day = Day(dispatcher, clock, scenario.requests)
    for _, _ in zip(range(1_200), day.steps(), strict=False):
        pass
    request = scenario.requests[1_300]
    ends = dispatcher.finder.area.ends_of(request)
    assert not isinstance(ends, str)
    nobody = np.zeros(0, np.int32)
    wish = dispatcher.finder.wish(request, ends, nobody, clock.now())
    assert not isinstance(wish, str)

    def search() -> None:
        dispatcher._store.new_question()
        dispatcher.finder.search(wish, clock.now())

    benchmark(search)
