"""Statistics beside trips: what became of requests, and sums over regions that nobody stands in the middle of. Both
with noise for one rider's whole period, taken from a node's own bookings."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Movable, serving, some_settings

from noriai_api.clocks import SystemClock
from noriai_api.exchange.privacy import publishing
from noriai_api.exchange.privacy.kpis import DAYS, HOURS, LONGEST_WAIT_MIN, METHOD, OUTCOMES, Requests, release_kpis
from noriai_api.exchange.privacy.mesh import codes_of
from noriai_api.exchange.privacy.partition import PublicData
from noriai_api.exchange.privacy.release import Question, Trips, fixed_parts, release
from noriai_api.exchange.privacy.sums import summed
from noriai_api.store import open_database
from noriai_api.store.exchange_tables import received, records
from noriai_api.store.migrate import migrate
from noriai_engine.cli import main
from noriai_engine.model.errors import InputError

pytest.importorskip("opendp", reason="statistics need OpenDP")

KPIS = Question("jis:08220", "2026-10-05", 1_000_000, method=METHOD)
NOW = 1_790_000_000_000


def app(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


Measure = Callable[[Any, float], Any]


def exact(counts: Any, scale: float) -> Any:
    """No noise: to see what is counted."""
    return np.asarray(counts, np.int64)


def seeded(seed: int) -> Measure:
    rng = np.random.default_rng(seed)

    def noisy(counts: Any, scale: float) -> Any:
        p = 1 - math.exp(-1 / scale)
        return np.asarray(counts + rng.geometric(p, len(counts)) - rng.geometric(p, len(counts)), np.int64)

    return noisy


def some_requests(seed: int, riders: int = 3000, each: float = 4.0) -> Requests:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(riders), rng.poisson(each, riders))
    count = len(who)
    outcome = rng.choice(len(OUTCOMES), count, p=[0.7, 0.12, 0.08, 0.05, 0.03, 0.02])
    return Requests(who, outcome, rng.random(count) < 0.2, rng.integers(6, 21, count), rng.integers(0, 90, count),
                    rng.random(count) < 0.4)  # fmt: skip


# --- what became of requests ------------------------------------------------------------------------------------


def test_counts_are_those_of_a_plain_count() -> None:
    """Without noise and with few requests each: every figure against a count by hand."""
    asked = some_requests(1, each=2.0)
    few = Counter(asked.riders.tolist())
    keep = np.array([few[r] <= 12 for r in asked.riders.tolist()])
    asked = Requests(*(getattr(asked, name)[keep] for name in Requests.__dataclass_fields__))
    said = release_kpis(KPIS, asked, exact, np.random.default_rng(0))
    plain: Counter[tuple[str, str, str]] = Counter()
    waits = shared = 0
    for k in range(len(asked.riders)):
        name = OUTCOMES[asked.outcome[k]]
        band = next(f"{a:02}-{b:02}" for a, b in HOURS if a <= asked.hour[k] < b)
        plain[name, DAYS[int(asked.weekend[k])], band] += 1
        if name == "served":
            waits += min(int(asked.wait_min[k]), LONGEST_WAIT_MIN)
            shared += bool(asked.shared[k])
    assert said["total"]["requests"] == len(asked.riders)
    shown = {(f["outcome"], f["days"], f["hours"]): f["value"] for f in said["figures"]}
    assert shown == {key: count for key, count in plain.items() if count >= said["threshold"]}
    assert 0 < len(shown) < len(plain), "small cells are withheld"
    served = sum(count for (name, *_), count in plain.items() if name == "served")
    kpis = {one["kpi"]: one["value"] for one in said["kpis"]}
    assert kpis["served_share"] == pytest.approx(served / len(asked.riders), abs=1e-4)
    assert kpis["wait_mean"] == pytest.approx(waits / served, abs=1e-4)
    assert kpis["shared_share"] == pytest.approx(shared / served, abs=1e-4)


def test_intervals_cover_and_are_narrow() -> None:
    """Over 60 releases each figure's interval holds the exact one at least as often as it says."""
    asked = some_requests(2)
    truth = release_kpis(KPIS, asked, exact, np.random.default_rng(0))
    true_cells = {(f["outcome"], f["days"], f["hours"]): f["value"] for f in truth["figures"]}
    true_kpis = {one["kpi"]: one["value"] for one in truth["kpis"]}
    inside = total = 0
    kpi_inside: Counter[str] = Counter()
    for seed in range(60):
        said = release_kpis(KPIS, asked, seeded(seed), np.random.default_rng(0))
        for figure in said["figures"]:
            key = (figure["outcome"], figure["days"], figure["hours"])
            if key in true_cells:
                total += 1
                inside += figure["low"] <= true_cells[key] <= figure["high"]
        for one in said["kpis"]:
            kpi_inside[one["kpi"]] += one["low"] <= true_kpis[one["kpi"]] <= one["high"]
            if one["kpi"] == "served_share":
                assert one["high"] - one["low"] < 0.05
    assert inside / total > 0.93
    assert min(kpi_inside.values()) >= 57


def test_one_rider_changes_it_by_no_more_than_the_cap() -> None:
    """Every vector that is measured: neighbours differ by the sensitivity that its noise was made for, and a bug that
    forgets the cap is seen by the same look."""
    asked = some_requests(3, riders=50)
    rng = np.random.default_rng(5)
    many = Requests(np.full(40, 999), rng.integers(0, len(OUTCOMES), 40), rng.random(40) < 0.5,
                    rng.integers(0, 24, 40), np.full(40, 500), np.ones(40, bool))  # fmt: skip
    both = Requests(*(np.concatenate([getattr(asked, n), getattr(many, n)]) for n in Requests.__dataclass_fields__))

    def measured(requests: Requests, question: Question) -> list[Any]:
        seen = []

        def look(counts: Any, scale: float) -> Any:
            seen.append((np.array(counts), scale))
            return counts

        release_kpis(question, requests, look, np.random.default_rng(0))
        return seen

    def ratios(question: Question) -> list[float]:
        pairs = zip(measured(asked, question), measured(both, question), strict=True)
        return [np.abs(a - b).sum() / scale for (a, scale), (b, _) in pairs]

    apart = sum(ratios(KPIS))
    assert apart <= KPIS.micro_epsilon / 1e6 + 1e-9, "the log of how much likelier any answer gets"
    assert apart > 0.2
    loose = measured(both, replace(KPIS, cap=40))
    assert sum(np.abs(a - b[0]).sum() / s for (a, s), b in zip(measured(asked, KPIS), loose, strict=True)) > 1


def test_a_membership_audit_stays_below_the_declared_epsilon() -> None:
    """OpenDP's own noise, 2,000 runs with a rider and without: what an attacker could tell from the served count, with
    exact 97.5 % bounds; noise made for one request instead of twelve is caught."""
    from scipy.stats import beta

    from noriai_api.exchange.privacy.noise import measure

    question = replace(KPIS, micro_epsilon=1_000_000)
    asked = some_requests(4, riders=20)
    more = Requests(np.full(12, 999), np.zeros(12, np.int64), np.zeros(12, bool), np.full(12, 10), np.full(12, 60),
                    np.ones(12, bool))  # fmt: skip
    both = Requests(*(np.concatenate([getattr(asked, n), getattr(more, n)]) for n in Requests.__dataclass_fields__))

    def audit(how: Measure) -> float:
        runs, sides = 2000, []
        for requests in (asked, both):
            rng = np.random.default_rng(1)
            values = []
            for _ in range(runs):
                cells: list[Any] = []

                def look(counts: Any, scale: float, cells: list[Any] = cells) -> Any:
                    noisy = how(counts, scale)
                    cells.append(noisy)
                    return noisy

                release_kpis(question, requests, look, rng)
                values.append(int(cells[0][1]))  # served on weekdays from 9 to 12
            sides.append(np.array(values))
        middle = int(np.median(np.concatenate(sides)))
        with_it, without = (sides[1] > middle).sum(), (sides[0] > middle).sum()
        low = beta.ppf(0.025, with_it, runs - with_it + 1)
        high = beta.ppf(0.975, without + 1, runs - without)
        return float(math.log(low / high))

    assert audit(measure) < 1.0
    assert audit(lambda counts, scale: measure(counts, scale / 12)) > 1.0, "the planted bug"


# --- sums over regions ------------------------------------------------------------------------------------------


def a_life_area(seed: int, regions: int = 3, riders: int = 1500) -> tuple[list[Trips], PublicData]:
    """Riders of several regions over one set of cells, and the public data all regions agreed on."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(10), np.arange(10))
    lon, lat = 140 + (x.ravel() + 0.5) / 160, 36 + (y.ravel() + 0.5) / 240
    codes, people = codes_of(lon, lat), rng.gamma(0.5, 100, 100) + 1
    attraction = (rng.random(100) < 0.15).astype(float)
    attraction[0] = 1
    places, found = np.stack([lon, lat], axis=1), []
    for _ in range(regions):
        who = np.repeat(np.arange(riders), rng.poisson(4, riders))
        a = rng.choice(100, riders, p=people / people.sum())[who]
        b = rng.choice(100, len(who), p=attraction / attraction.sum())
        found.append(Trips(who, places[a], places[b]))
    return found, PublicData(codes, people, attraction)


def question_of(area: str, expected: int = 18_000) -> Question:
    return Question(area, "2026-10-05", 1_000_000, expected=expected)


def test_regions_add_up_without_anybody_in_the_middle() -> None:
    """What leaves a region is noisy already; the sum's figures hold the exact sums as often as they say, and the whole
    is told far better than small regions alone could."""
    regions, data = a_life_area(1)
    parts, _ = fixed_parts(question_of("all"), data)
    inside = total = 0
    errors = []
    for seed in range(12):
        noisy, plain = [], []
        for number, trips in enumerate(regions):
            name = f"jis:0822{number}"
            rng = np.random.default_rng([seed, number])
            noisy.append(release(question_of(name), trips, data, seeded(1000 * seed + number), rng)["measured"])
            rng = np.random.default_rng([seed, number])
            plain.append(release(question_of(name), trips, data, exact, rng)["measured"])
        for one, other in zip(noisy, plain, strict=True):
            assert np.mean(np.array(one["leaves"]) != np.array(other["leaves"])) > 0.9, "no exact count leaves"
        said = summed(question_of("all"), data, noisy)
        counts = np.sum([one["leaves"] for one in plain], axis=0).tolist()
        truth = {
            (tuple(data.cells[parts.nodes[leaf].origins]), tuple(data.cells[parts.nodes[leaf].destinations])): count
            for leaf, count in zip(parts.leaves, counts, strict=True)
        }
        for figure in said["figures"]:
            key = (tuple(figure["origins"]), tuple(figure["destinations"]))
            total += 1
            inside += figure["low"] <= truth[key] <= figure["high"]
            errors.append(abs(figure["trips"] - truth[key]) / max(truth[key], 1))
        assert said["regions"] == 3
        assert said["covered"] > 0.9
    assert inside / total > 0.93
    assert float(np.median(errors)) < 0.15


def test_figures_over_other_parts_are_not_added() -> None:
    regions, data = a_life_area(2, regions=2, riders=400)
    one = release(question_of("jis:08220"), regions[0], data, seeded(1), np.random.default_rng(1))["measured"]
    other = PublicData(data.cells, data.people + 1, data.attraction)
    for question, known in ((question_of("jis:08203", 9_000), data), (question_of("jis:08203"), other),
                            (replace(question_of("jis:08203"), micro_epsilon=500_000), data)):  # fmt: skip
        two = release(question, regions[1], known, seeded(2), np.random.default_rng(2))["measured"]
        with pytest.raises(InputError, match="other parts"):
            summed(question_of("all"), data, [one, two])
    with pytest.raises(InputError, match="nothing to add"):
        summed(question_of("all"), data, [])
    for lie in ({}, {**one, "leaves": None}, {**one, "leaves": one["leaves"][:-1]}, {**one, "total": "many"},
                {**one, "leaves": [0.5, *one["leaves"][1:]]}):  # fmt: skip
        with pytest.raises(InputError, match="other parts"):
            summed(question_of("all"), data, [one, lie])
    told = summed(question_of("all"), data, [one])
    assert summed(question_of("all"), data, [{**one, "leaf_scale": 0.001, "total_scale": 0.001}]) == told


def test_a_release_of_before_keeps_its_name() -> None:
    """A question without `expected` has the digest it always had: nobody is charged twice for it."""
    assert Question("jis:08220", "2026-10-05", 1_000_000).release == "8d082f2de0456129422af8ff3500f2bc6525de53"


# --- from a node's own store ------------------------------------------------------------------------------------


@pytest.mark.compiled
def test_a_nodes_own_rides_become_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rides that were served, given up, refused and not taken, over HTTP: the pipeline counts what the store's own rows
    say, and the command publishes it, once."""
    clock = Movable()
    settings = some_settings(tmp_path / "node", moves_itself=True, tick_ms=20)
    with serving(settings, clock) as node:
        for k in range(6):
            assert node.ask("partner", "PUT", f"/v1/riders/r{k}", json={}).is_success
        for k in range(6):
            ride = node.booked(10 * k, rider=f"r{k}")
            if k == 5:
                assert node.ask("partner", "POST", f"/v1/bookings/{ride['booking']}/cancel").is_success
        node.offered(200, rider="r0")
        far = node.wish(1, rider="r1") | {"destination": {"lon": 135.0, "lat": 35.0}}
        assert not node.ask("partner", "POST", f"/v1/regions/{node.region}/quotes", json=far).json()["offers"]
        clock.ahead_ms += 3 * 3_600_000

        import time

        def states() -> Counter[str]:
            rows = node.ask("administrator", "GET", "/v1/bookings").json()["bookings"]
            return Counter(row["state"] for row in rows)

        for _ in range(300):
            if states()["done"] == 5:
                break
            time.sleep(0.05)
        assert states() == {"done": 5, "cancelled": 1}
        day = node.now().date()
        region = node.region
        first = str(date(2024, 1, 1) + timedelta(days=(day - date(2024, 1, 1)).days // 28 * 28))
        trips = node.node.database.read(lambda c: publishing.trips_of_bookings(c, "home", region, first))
        assert len(trips.riders) == 5
        asked = node.node.database.read(lambda c: publishing.requests_of_node(c, "home", region, first, "Asia/Tokyo"))
        counted = Counter(OUTCOMES[k] for k in asked.outcome.tolist())
        assert counted["served"] == 5
        assert counted["cancelled"] == counted["not_taken"] == 1
        assert counted["refused"] >= 1
        assert set(asked.hour[asked.outcome == 0].tolist()) <= {9, 10}
        assert (asked.wait_min >= 0).all()
    arguments = ["exchange", "publish", "--data", str(tmp_path / "node"), "--area", "jis:08220", "--from", first,
                 "--what", "kpis", "--json"]  # fmt: skip
    ended = int(clock.now())
    monkeypatch.setattr(SystemClock, "now", lambda self: ended + 80 * 86_400_000)
    assert app(arguments) == 2
    assert "kept no longer" in capsys.readouterr().err
    monkeypatch.setattr(SystemClock, "now", lambda self: ended + 28 * 86_400_000)
    assert app(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["method"] == METHOD
    assert app(arguments) == 0
    assert json.loads(capsys.readouterr().out) == said, "answered from what was published"
    assert app(arguments[:-1]) == 0
    assert "no budget spent" in capsys.readouterr().out


def test_the_command_adds_up_ours_and_what_neighbours_shared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sqlalchemy import insert, select

    regions, data = a_life_area(4, regions=2)
    public = tmp_path / "public.csv"
    rows = zip(data.cells.tolist(), data.people.tolist(), data.attraction.tolist(), strict=True)
    public.write_text("mesh,people,attraction\n" + "".join(f"{a},{b!r},{c!r}\n" for a, b, c in rows))
    stores = []
    for number, trips in enumerate(regions):
        store = open_database("", tmp_path / f"n{number}")
        migrate(store)
        question = question_of(f"jis:0822{number}", 12_000)
        made, _ = publishing.publish(
            store, "home", question, 1_000_000, trips, publishing.public_of_file(public),
            dataset=f"urn:noriai:dataset:n{number}:od", measure=seeded(number), rng=np.random.default_rng(number), now=NOW,
        )  # fmt: skip
        assert made["measured"]["area"] == question.area
        stores.append(store)
    shared = stores[1].read(
        lambda c: c.execute(select(records).where(records.c.dataset.like("%-parts"))).mappings().one()
    )
    body = json.loads(shared["body"])
    assert body["release"] == {"group": 1, "micro_epsilon": 1_000_000}, "terms that ask for groups do not let it pass"
    with stores[0].writing.begin() as connection:
        connection.execute(insert(received).values(
            tenant="home", transfer="x", sequence=0, dataset=shared["dataset"], peer="urn:n1", time=NOW, area="jis:08221",
            body=json.dumps({k: v for k, v in body.items() if k != "release"}),
        ))  # fmt: skip
    for store in stores:
        store.close()
    arguments = ["exchange", "sum", "--data", str(tmp_path / "n0"), "--from", "2026-10-05", "--expected", "12000",
                 "--public", str(public)]  # fmt: skip
    assert app([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["regions"] == 2
    assert said["total"]["low"] <= sum(len(t.riders) for t in regions) <= said["total"]["high"] + 600  # beyond the cap
    assert app(arguments) == 0
    assert "jis:08220 + jis:08221" in capsys.readouterr().out
    assert app([*arguments[:5], "2026-11-02", *arguments[6:]]) == 2
    assert "nothing to add" in capsys.readouterr().err
