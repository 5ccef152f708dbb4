"""Over HTTP: riders walk to meeting points within what they say, electric vehicles keep their reserve, promises have
buffers; and a node started again knows it all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Serving, serving, some_settings

SERVICE = (
    'name = "On foot"\nmax_wait_min = 30\ndetour_factor = 2\ndetour_extra_min = 20\nmode = "meet"\nstops = "virtual"\n'
    "virtual_stop_m = 150\nmax_walk_m = 600\nwalk_weight = 0.0\npickup_buffer_min = 4\nride_buffer = 0.2\n"
)


def settings(folder: Path, database: str) -> Any:
    (folder / "service.toml").write_text(SERVICE)
    return some_settings(folder / "node", database, service=folder / "service.toml", moves_itself=False)


@pytest.fixture
def town(tmp_path: Path, database: str) -> Iterator[Serving]:
    with serving(settings(tmp_path, database)) as running:
        yield running


def fleet(town: Serving) -> list[tuple[str, str]]:
    """Vehicles of the day with their operators."""
    run = next(iter(town.node.actors.values())).runtime.today()
    return [(str(v.id), str(v.operator_id)) for v in run.dispatcher.vehicles]


def walks(offer: dict[str, Any]) -> int:
    return int(offer["pickup"]["walk_s"]) + int(offer["dropoff"]["walk_s"])


def test_riders_are_told_where_to_meet_and_how_far_that_is(town: Serving) -> None:
    on_foot = 0
    for number in range(12):
        quote = town.quote(number, minutes=60)
        stays = town.quote(number, minutes=60, needs={"longest_walk_m": 0})
        assert all(walks(offer) == 0 for offer in stays["offers"])
        for offer in quote["offers"]:
            assert walks(offer) <= 2 * 600 + 2
        on_foot += any(walks(offer) > 0 for offer in quote["offers"])
    assert on_foot > 2
    wrong = town.ask(
        "partner", "POST", f"/v1/regions/{town.region}/quotes", json=town.wish(needs={"longest_walk_m": -5})
    )
    assert (wrong.status_code, "longest_walk_m" in wrong.text) == (422, True)


def test_a_booking_keeps_its_meeting_point_and_its_buffer_over_a_restart(tmp_path: Path, database: str) -> None:
    with serving(settings(tmp_path, database)) as before:
        for number in range(8):
            before.booked(10 * number, minutes=60)
        keys, hashed = before.keys, before.state_hash()
        bookings = before.ask("desk", "GET", "/v1/bookings").json()["bookings"]
        assert any(walks(booking) > 0 for booking in bookings)
    with serving(settings(tmp_path, database), keys=keys, seed=2) as after:
        assert after.state_hash() == hashed
        assert after.ask("desk", "GET", "/v1/bookings").json()["bookings"] == bookings
        run = next(iter(after.node.actors.values())).runtime.today()
        limits = run.dispatcher.bookings.promised.values()
        assert any(wish.pickup_spare == 240_000 for wish in limits)


def test_an_electric_vehicle_is_entered_refused_and_told_its_charge(town: Serving) -> None:
    name, operator = fleet(town)[0]
    body: dict[str, Any] = {
        "region": town.region, "operator": operator, "layouts": [{"seats": 4}],
        "depot": town.somewhere(np.random.default_rng(1)),
        "shifts": {day: ["00:00", "30:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")},
    }  # fmt: skip

    def put(battery: dict[str, int]) -> Any:
        return town.ask("administrator", "PUT", "/v1/vehicles/ev-1", json=body | {"battery": battery})

    wrong = put({"range_m": 5_000, "reserve_m": 5_000})
    assert (wrong.status_code, "reserve" in wrong.text) == (422, True)
    made = put({"range_m": 60_000, "reserve_m": 5_000})
    assert made.status_code == 201, made.text
    address = f"/v1/regions/{town.region}/overrides"
    told = town.ask(
        "desk", "POST", address, json={"action": "charge", "vehicle": "ev-1", "left_m": 20_000, "commit": True}
    )
    assert (told.status_code, told.json()["committed"]) == (200, True)
    for left, vehicle in ((70_000, "ev-1"), (20_000, name)):  # more than its range; one without a battery
        refused = town.ask("desk", "POST", address, json={"action": "charge", "vehicle": vehicle, "left_m": left})
        assert (refused.status_code, "remedy" in refused.json()["detail"]) == (409, True), refused.text
    undone = town.ask("desk", "POST", f"{address}/{told.json()['override']}/undo")
    assert undone.status_code == 409
