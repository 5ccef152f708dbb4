"""Before the first rider asks, every kernel that answers riders was called once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noriai_api.runtime.rehearsal import rehearse
from noriai_engine.regions import open_region
from noriai_engine.roads import TravelTimes

LATER = """
import gc, sys, time
from pathlib import Path
from numba.core.dispatcher import Dispatcher
sys.path.insert(0, sys.argv[2])
from serving import serving, some_settings

def known():
    # Kernels with the types of arguments they were compiled, or loaded, for.
    return {(k.py_func.__module__, k.py_func.__qualname__, str(types))
            for k in gc.get_objects() if isinstance(k, Dispatcher) for types in k.overloads}

with serving(some_settings(Path(sys.argv[1]), moves_itself=True, tick_ms=20, match_every_s=1)) as node:
    before = known()
    booking = node.booked(1)
    node.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/cancel", json={})
    node.booked(2, minutes=5)
    node.offered(3, earliest_pickup=None, latest_arrival=node.now().isoformat()[:11] + "23:50:00Z")
    for vehicle in node.ask("desk", "GET", "/v1/vehicles").json()["vehicles"]:
        body = {"action": "block", "vehicle": vehicle["vehicle"], "commit": True}
        node.ask("desk", "POST", f"/v1/regions/{node.region}/overrides", json=body)
    refused = node.quote(4)
    assert node.ask("partner", "POST", f"/v1/quotes/{refused['quote']}/wait", json={"until": "batch"}).status_code == 201
    time.sleep(3)
    print("new:", sorted({name[:2] for name in known() - before}), len(before) > 20)
"""


def test_rides_are_booked_and_forgotten(rural: Path) -> None:
    region = open_region(rural)
    travel_times = TravelTimes(region.network)
    assert rehearse(region, travel_times, improves=True, matches=True) >= 5
    assert rehearse(region, travel_times, improves=False) >= 5


def test_a_region_where_nobody_may_stop_starts_all_the_same(rural: Path) -> None:
    """Motorways and the like: whoever cannot be rehearsed with is left out, be it everybody."""
    region = open_region(rural)
    closed = replace(region.network, street_flags=np.zeros_like(region.network.street_flags))
    assert rehearse(region, TravelTimes(closed), improves=True) == 0


@pytest.mark.compiled
def test_nothing_is_compiled_once_a_node_answers(tmp_path: Path) -> None:
    """In a process of its own: what a quote, a booking, a cancellation and a ride that begins at once call."""
    tests = str(Path(__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", LATER, str(tmp_path), tests], capture_output=True, text=True, check=False
    )
    assert "new: [] True" in ran.stdout, ran.stdout + ran.stderr
