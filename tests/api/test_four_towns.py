"""Four towns: their wishes replay from the seed, the summary adds up, and, at length, the whole demo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from noriai_api.exchange.corporate_numbers import is_corporate_number
from noriai_api.four_nodes import day, summary, towns
from noriai_api.four_nodes.day import Served
from noriai_engine.regions import Region


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return day.make_world(tmp_path_factory.mktemp("world"), 7)


def test_each_town_has_a_quarter_of_the_people_and_its_own_wishes(region: Region) -> None:
    people = region.population
    assert people is not None
    where = towns.town_of(region, people.lon)
    shares = [people.people[where == town].sum() / people.total for town in range(4)]
    assert all(0.15 < share < 0.35 for share in shares)
    assert np.array_equal(np.sort(where[np.argsort(people.lon)]), where[np.argsort(people.lon)]), "from west to east"
    asked = towns.wishes(region, 200, 7)
    assert asked == towns.wishes(region, 200, 7)
    assert asked != towns.wishes(region, 200, 8)
    assert Counter(wish.town for wish in asked).keys() == {0, 1, 2, 3}
    assert all(wish.asked_s <= wish.earliest_s for wish in asked)
    for wish in asked:
        homes = towns.town_of(region, np.array([wish.origin[0], wish.destination[0]]))
        assert wish.town in homes, "one end is in the town that is asked"
    fleet = towns.fleet(region, 2, 3, 7)
    assert towns.town_of(region, np.array([body["depot"][0] for *_, body in fleet])).tolist() == [2, 2, 2]


def test_riders_may_change_on_a_street_at_each_border(region: Region) -> None:
    points = towns.transfer_points(region)
    assert list(points) == ["tsukuba-tsuchiura", "tsuchiura-shimotsuma", "shimotsuma-ushiku"]
    people = region.population
    assert people is not None
    town = towns.town_of(region, people.lon)
    for west, (lon, lat) in enumerate(points.values()):
        street = region.snapper.on_street(np.array([lon]), np.array([lat]))
        assert (float(street[0][0]), float(street[1][0])) == pytest.approx((lon, lat), abs=1e-5)
        centres = [np.average(people.lon[town == k], weights=people.people[town == k]) for k in (west, west + 1)]
        assert centres[0] < lon < centres[1], "between the two towns"


def test_corporate_numbers_of_the_four() -> None:
    numbers = {town.title: town.corporate_number for town in towns.TOWNS}
    assert numbers["Tsukuba"] == "8000020082201", "as the public register has it"
    assert all(map(is_corporate_number, numbers.values()))


def test_the_summary_adds_up_and_says_when_it_should_not_be_so(region: Region) -> None:
    asked = towns.wishes(region, 40, 1)
    names = [towns.TOWNS[wish.town].participant for wish in asked]
    alone, together = list(names), list(names)
    alone[0] = alone[1] = together[1] = "unmet"
    other = next(t.participant for t in towns.TOWNS if t.participant != names[0])
    together[0] = other
    shared = {"agreement": "urn:uuid:1", "dataset": "urn:noriai:dataset:tsukuba:demand", "hash": "h", "uses": 1}
    served = Served(together, agreements=[{**shared, "node": "urn:noriai:node:tsukuba", "role": "provider"},
                                          {**shared, "node": "urn:noriai:node:ushiku", "role": "consumer"}],
                    received={"urn:noriai:node:ushiku": Counter({"urn:noriai:node:tsukuba": 9})},
                    fields={"what", "area"}, logs=[{"node": "urn:noriai:node:ushiku", "whole": False, "entries": 3}])  # fmt: skip
    found = summary.summary_of(asked, 2, Served(alone), served)
    assert (found["unmet_alone"], found["unmet_together"], found["crossed"]) == (2, 1, 1)
    assert sum(town["wishes"] for town in found["towns"]) == len(asked)
    assert sum(town["for_others"] for town in found["towns"]) == 1
    asked_of = [n for n, wish in enumerate(asked) if wish.town == asked[0].town]
    together[asked_of[1]] = f"{names[0]} then {other}"
    again = summary.summary_of(asked, 2, Served(alone), served)
    assert (again["changed"], again["crossed"]) == (1, 2), "a ride of two legs is one ride"
    assert sum(town["for_others"] for town in again["towns"]) == 2
    together[asked_of[1]] = names[asked_of[1]]
    assert found["agreements"] == [{"owner": "Tsukuba", "peer": "Ushiku", "what": "demand", "agreement": "urn:uuid:1",
                                    "uses": 1, "records": 9}]  # fmt: skip
    assert (found["same"], found["pairs"], found["nobody"]) == (1, 1, True)
    page = summary.page(found)
    assert "BROKEN" in page
    assert "No name, telephone" in page
    served.fields.add("telephone")
    leaky = summary.page(summary.summary_of(asked, 2, Served(alone), served))
    assert "should not have moved" in leaky
    assert "No name, telephone" not in leaky
    assert any("unmet, together:        1" in line for line in summary.lines(found))


def test_wrong_input_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for arguments, what in ((["-o", str(tmp_path)], "holds other things"), (["--wishes", "0"], "at least 1")):
        program = [Path(sys.executable).parent / "noriai", "exchange", "demo", *arguments]
        done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode != 0
        assert what in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.compiled
def test_the_demo(tmp_path: Path) -> None:
    """Eight nodes in processes of their own; sums that must be equal are."""
    program = [
        Path(sys.executable).parent / "noriai",
        "exchange",
        "demo",
        "-o",
        str(tmp_path / "out"),
        "--wishes",
        "80",
        "--json",
    ]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["unmet_together"] <= found["unmet_alone"]
    assert (found["pairs"], found["same"], found["incidents"], found["nobody"]) == (24, 24, 0, True)
    assert all(line["equal"] for line in found["settlements"])
    assert all(log["whole"] for log in found["logs"])
    assert found["memory"] < 2000
    records = {(a["owner"], a["peer"]): a["records"] for a in found["agreements"] if a["what"] == "demand"}
    assert len(records) == 12
    assert min(records.values()) > 0
