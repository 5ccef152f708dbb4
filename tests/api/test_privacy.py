"""Published statistics: what they cost, that they add up, and the attacks they withstand, each shown to catch a bug."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchanging import NOW
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from noriai_api.exchange.privacy import ledger, publishing
from noriai_api.exchange.privacy import release as release_module
from noriai_api.exchange.privacy.ledger import BudgetError
from noriai_api.exchange.privacy.mesh import LEVELS, centres_of, codes_of
from noriai_api.exchange.privacy.ngsi import crowd_flows
from noriai_api.exchange.privacy.noise import measure, micro_epsilon
from noriai_api.exchange.privacy.partition import PublicData, partition
from noriai_api.exchange.privacy.release import Question, Trips, capped, check_first_day, release
from noriai_api.exchange.privacy.tree import consistent
from noriai_api.store import Database, Writer, open_database
from noriai_api.store.migrate import migrate
from noriai_engine.model.errors import InputError

Ints = Any
NGSI = Path(__file__).parents[3] / "shared/standards/dataspace-protocol/related/ngsi-ld/CrowdFlowObserved.schema.json"

QUESTION = Question("jis:08220", "2026-10-05", 1_000_000)


def seeded(rng: np.random.Generator) -> Callable[[Ints, float], Ints]:
    """Discrete Laplace noise that replays: for what does not ask whether the noise itself is right."""

    def noisy(counts: Ints, scale: float) -> Ints:
        p = 1 - math.exp(-1 / scale)
        return np.asarray(counts + rng.geometric(p, len(counts)) - rng.geometric(p, len(counts)), np.int64)

    return noisy


def some_cells(side: int = 8) -> tuple[Any, Any, Any]:
    """(codes, lon, lat) of side x side meshes of 500 m."""
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    lon, lat = 140 + (x.ravel() + 0.5) / 160, 36 + (y.ravel() + 0.5) / 240
    return codes_of(lon, lat), lon, lat


def a_town(seed: int = 0, riders: int = 2000, side: int = 8) -> tuple[Trips, PublicData]:
    rng = np.random.default_rng(seed)
    codes, lon, lat = some_cells(side)
    people = rng.gamma(0.5, 100, len(codes)) + 1
    attraction = (rng.random(len(codes)) < 0.15).astype(float)
    attraction[0] = 1
    each = rng.poisson(3, riders)
    who = np.repeat(np.arange(riders), each)
    home = rng.choice(len(codes), riders, p=people / people.sum())[who]
    goal = rng.choice(len(codes), len(who), p=attraction / attraction.sum())
    places = np.stack([lon, lat], axis=1)
    a, b = np.r_[home, goal], np.r_[goal, home]
    return Trips(np.r_[who, who], places[a], places[b]), PublicData(codes, people, attraction)


# --- meshes, trees, partitions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("digits", "level"), [(4, 1), (6, 2), (8, 3), (9, 4), (10, 5)])
def test_mesh_codes_are_jismeshs(digits: int, level: int) -> None:
    import jismesh.utils as jismesh

    rng = np.random.default_rng(digits)
    lon, lat = rng.uniform(122.9, 153.9, 50_000), rng.uniform(20.4, 45.6, 50_000)
    codes = codes_of(lon, lat, digits)
    assert (codes == jismesh.to_meshcode(lat, lon, level).astype(np.int64)).all()
    some = codes[:2000]
    assert (codes_of(*centres_of(some), digits) == some).all()
    high, wide = LEVELS[digits]
    off = [np.abs(a - b[:2000]).max() for a, b in zip(centres_of(some), (lon, lat), strict=True)]
    assert off[0] <= wide / 640
    assert off[1] <= high / 960


def test_mesh_codes_refuse_what_has_none() -> None:
    for call in (lambda: codes_of(np.array([2.3]), np.array([48.8])), lambda: codes_of(np.array([140.0]), np.array([36.0]), 7),
                 lambda: centres_of(np.array([5440, 544000])), lambda: centres_of(np.array([544000985]))):  # fmt: skip
        with pytest.raises(InputError):
            call()


@settings(max_examples=80)
@given(st.data())
def test_consistent_trees_are_the_least_squares_solution(data: st.DataObject) -> None:
    """Against the normal equations, solved whole by numpy."""
    children: list[tuple[int, ...]] = [()]
    for _ in range(data.draw(st.integers(1, 5))):
        leaf = data.draw(st.sampled_from([n for n, c in enumerate(children) if not c]))
        count = data.draw(st.integers(1, 3))
        children[leaf] = tuple(range(len(children), len(children) + count))
        children += [()] * count
    size = len(children)
    measured = np.array(data.draw(st.lists(st.integers(-50, 500), min_size=size, max_size=size)), float)
    variance = np.array(data.draw(st.lists(st.floats(0.5, 50), min_size=size, max_size=size)))
    for node, parts in enumerate(children):
        if parts and data.draw(st.booleans()):
            variance[node] = np.inf
    found, spread = consistent(children, measured, variance)
    leaves = [n for n, parts in enumerate(children) if not parts]
    under = np.zeros((size, len(leaves)))
    for node in range(size - 1, -1, -1):
        under[node] = under[list(children[node])].sum(0) if children[node] else [leaf == node for leaf in leaves]
    weight = np.where(np.isinf(variance), 0, 1 / variance)
    covariance = np.linalg.inv(under.T @ (weight[:, None] * under))
    assert np.allclose(found, under @ covariance @ under.T @ (weight * measured), atol=1e-6)
    assert np.allclose(spread, np.diag(under @ covariance @ under.T), atol=1e-6)


@pytest.mark.parametrize("expected", [50, 3000, 40_000])
def test_a_partition_is_one_and_each_part_has_enough(expected: float) -> None:
    _, data = a_town()
    parts = partition(data, expected, 120)
    seen = np.zeros(parts.leaf_of.shape, int)
    for number, leaf in enumerate(parts.leaves):
        block = np.ix_(parts.nodes[leaf].origins, parts.nodes[leaf].destinations)
        seen[block] += 1
        assert (parts.leaf_of[block] == number).all()
        assert parts.nodes[leaf].expected >= 120 or len(parts.leaves) == 1
    assert (seen == 1).all()
    assert sum(parts.nodes[leaf].expected for leaf in parts.leaves) == pytest.approx(expected)
    assert len(parts.leaves) <= expected / 120 or len(parts.leaves) == 1


@settings(max_examples=100)
@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 4), st.integers(0, 99))
def test_the_cap_keeps_as_many_as_it_says_of_each_rider(riders: list[int], cap: int, seed: int) -> None:
    who = np.array(riders, np.int64)
    kept = capped(who, cap, np.random.default_rng(seed))
    for rider in set(riders):
        assert kept[who == rider].sum() == min(cap, riders.count(rider))


def test_which_trips_the_cap_keeps_is_chance() -> None:
    who = np.zeros(6, np.int64)
    times = np.zeros(6)
    for seed in range(3000):
        times += capped(who, 2, np.random.default_rng(seed))
    assert np.abs(times / 3000 - 1 / 3).max() < 0.05


# --- the release --------------------------------------------------------------------------------------------------


def test_figures_cover_add_up_and_invent_nothing() -> None:
    """Against a plain recount of the trips: intervals hold as often as they say, nothing below the threshold is shown,
    no figure stands where there is no trip, and a zone is the sum of its parts."""
    inside = total = whole = 0
    for seed in range(12):
        trips, data = a_town(seed)
        rng = np.random.default_rng(seed)
        said = release(QUESTION, trips, data, seeded(rng), rng)
        place = {int(code): n for n, code in enumerate(data.cells)}
        a, b = ([place[int(c)] for c in codes_of(p[:, 0], p[:, 1])] for p in (trips.origins, trips.destinations))
        truth = np.zeros((len(place), len(place)))
        np.add.at(truth, (a, b), 1)
        assert said["covered"] > 0.9
        for figure in said["figures"]:
            rows, columns = ([place[c] for c in figure[name]] for name in ("origins", "destinations"))
            exact = truth[np.ix_(rows, columns)].sum()
            assert figure["trips"] >= said["threshold"] >= 60
            assert exact > 0
            inside += figure["low"] <= exact <= figure["high"]
            total += 1
        cells = {(o, d) for f in said["figures"] for o in f["origins"] for d in f["destinations"]}
        assert len(cells) == sum(len(f["origins"]) * len(f["destinations"]) for f in said["figures"]), "no pair twice"
        pairs = sum(len(z["origins"]) * len(z["destinations"]) for z in said["zones"])
        if pairs == len(place) ** 2:
            whole += 1
            assert sum(z["trips"] for z in said["zones"]) == said["total"]["trips"]
    assert whole > 0
    assert total > 300
    assert inside / total > 0.93, "trips beyond the cap are in the truth, and not in the intervals"


def test_few_trips_and_none_at_all() -> None:
    _, data = a_town()
    empty = Trips(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2)))
    rng = np.random.default_rng(3)
    said = release(QUESTION, empty, data, seeded(rng), rng)
    assert said["figures"] == [] or said["figures"][0]["low"] <= 40
    outside = Trips(np.zeros(500, np.int64), np.full((500, 2), [135.0, 35.0]), np.full((500, 2), [135.0, 35.0]))
    assert release(QUESTION, outside, data, seeded(np.random.default_rng(3)), rng)["total"] == said["total"]


def test_periods_do_not_overlap() -> None:
    assert check_first_day("2026-10-05") == "2026-10-05"
    for wrong in ("2026-10-06", "2026-10-04", "soon"):
        with pytest.raises(InputError, match=r"no period|no date"):
            check_first_day(wrong)
    assert publishing.period_now(NOW) == "2026-08-10"


def test_the_price_is_what_opendp_says() -> None:
    assert micro_epsilon(12, 12) == 1_000_000
    assert micro_epsilon(12 / 0.95, 12) == 950_000
    assert micro_epsilon(36, 12) == 333_334


# --- attacks ------------------------------------------------------------------------------------------------------


def bound(hits: int, false: int, runs: int) -> float:
    """Lower bound of the logarithm of the ratio of two rates (Clopper-Pearson, 97.5 % each)."""
    low = beta.ppf(0.025, hits, runs - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, false + 1, runs - false) if false < runs else 1.0
    return math.log(low / high) if low > 0 else -math.inf


def audited(runs: int, make: Callable[[bool, int], float]) -> float:
    """A lower bound of epsilon, from how well two neighbouring inputs can be told by a threshold; the threshold is
    chosen on the first half of the runs, the bound is of the second."""
    groups = [np.array([make(there, n) for n in range(runs)]) for there in (True, False)]
    half = runs // 2

    def counted(cut: float, part: slice) -> tuple[int, int]:
        return int((groups[0][part] >= cut).sum()), int((groups[1][part] >= cut).sum())

    cuts = np.unique(np.concatenate([group[:half] for group in groups]))
    best = max(cuts, key=lambda cut: bound(*counted(cut, slice(0, half)), half))
    return bound(*counted(best, slice(half, 2 * half)), half)


def worst_rider(there: bool) -> tuple[Trips, PublicData]:
    """A few riders in a small area, and one more with 30 trips from one place to one other."""
    codes, lon, lat = some_cells(2)
    data = PublicData(codes, np.array([100.0, 100, 100, 100]), np.ones(4))
    places = np.stack([lon, lat], axis=1)
    who, a, b = list(range(40)), [0] * 40, [3] * 40
    if there:
        who, a, b = who + [99] * 30, a + [0] * 30, b + [3] * 30
    return Trips(np.array(who), places[a], places[b]), data


def seen(there: bool, n: int, how: Callable[[Ints, float], Ints] = measure, cap: int | None = None) -> float:
    """What a release says of the one pair, from the released document alone."""
    trips, data = worst_rider(there)
    said = release(QUESTION, trips, data, how, np.random.default_rng([n, there]))
    return float(said["total"]["trips"])


def test_membership_audit() -> None:
    """Nobody can tell by more than the epsilon declared whether a rider was there."""
    assert audited(1500, seen) <= 1.0


@pytest.mark.long
def test_membership_audit_of_20_000_runs() -> None:
    found = audited(20_000, seen)
    sys.stdout.write(f"audited epsilon {found:.2f} of 1.0 declared\n")
    assert found <= 1.0


def test_the_audit_catches_noise_for_one_trip_where_riders_have_twelve() -> None:
    assert audited(1500, lambda there, n: seen(there, n, lambda counts, scale: measure(counts, scale / 12))) > 2


def test_the_audit_catches_a_missing_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "capped", lambda riders, cap, rng: np.ones(len(riders), bool))
    assert audited(1500, seen) > 1.0


def test_noise_has_no_floating_point_to_look_through() -> None:
    """Mironov's attack needs results with a pattern of low bits; these are whole numbers, and no others come out."""
    found = measure(np.zeros(5000, np.int64), 12.0)
    assert found.dtype == np.int64
    q = math.exp(-1 / 12)
    for value in (-5, 0, 5):
        assert (found == value).mean() == pytest.approx((1 - q) / (1 + q) * q ** abs(value), abs=0.012)
    floating = np.random.default_rng(0).laplace(0, 12.0, 5000)
    assert not (floating == np.rint(floating)).any(), "the planted bug shows"


def test_differencing_two_releases_gives_the_second_no_new_noise(tmp_path: Path) -> None:
    """Asked again with one rider fewer in the store: the same bytes, since the question is the same. A planted store
    that forgets what it published gives itself away."""
    store = a_store(tmp_path)
    trips, data = a_town()
    fewer = Trips(trips.riders[1:], trips.origins[1:], trips.destinations[1:])
    first, second = (publish_in(store, of, data) for of in (trips, fewer))
    assert json.dumps(first[0], sort_keys=True) == json.dumps(second[0], sort_keys=True)
    assert (first[1], second[1]) == (True, False)
    with store.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM exchange_releases")
    again = publish_in(store, fewer, data)
    assert json.dumps(again[0], sort_keys=True) != json.dumps(first[0], sort_keys=True)


def test_averaging_the_same_question_learns_nothing(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    trips, data = a_town()
    answers = {json.dumps(publish_in(store, trips, data)[0], sort_keys=True) for _ in range(20)}
    assert len(answers) == 1
    fresh = {
        json.dumps(release(QUESTION, trips, data, measure, np.random.default_rng(n)), sort_keys=True) for n in range(3)
    }
    assert len(fresh) == 3, "without the cache they would differ"


def rest_error(how: Callable[[np.random.Generator], Callable[[Ints, float], Ints]]) -> float:
    """How far off an attacker is who subtracts the published parts from the total to learn the part left out: the
    spread over 20 releases."""
    codes, lon, lat = some_cells(4)
    data = PublicData(codes, np.full(16, 100.0), np.ones(16))
    places = np.stack([lon, lat], axis=1)
    a, b = np.r_[np.zeros(3000, int), np.full(7, 15)], np.r_[np.ones(3000, int), np.full(7, 14)]
    trips = Trips(np.arange(3007), places[a], places[b])
    rests = []
    for seed in range(20):
        said = release(QUESTION, trips, data, how(np.random.default_rng(seed)), np.random.default_rng(seed))
        rests.append(said["total"]["trips"] - sum(f["trips"] for f in said["figures"]))
    return float(np.std(rests))


def test_a_parent_minus_its_children_is_noise() -> None:
    """The seven trips left out do not come back by subtraction; with the planted release, whose parts are exact, they
    do."""
    assert rest_error(seeded) > 15
    assert rest_error(lambda rng: lambda counts, scale: counts) == 0


def test_what_is_suppressed_looks_like_what_is_empty() -> None:
    """Small counts cannot be probed: the published document has no entry for them, whatever they are."""
    codes, lon, lat = some_cells(4)
    data = PublicData(codes, np.full(16, 100.0), np.ones(16))
    places = np.stack([lon, lat], axis=1)
    found = []
    for small in (0, 8):
        who = np.arange(1500 + small)
        a = np.r_[np.zeros(1500, int), np.full(small, 15)]
        b = np.r_[np.ones(1500, int), np.full(small, 14)]
        trips = Trips(who, places[a], places[b])
        said = release(QUESTION, trips, data, seeded(np.random.default_rng(3)), np.random.default_rng(3))
        found.append([(f["origins"], f["destinations"]) for f in said["figures"]])
    assert found[0] == found[1]


def test_no_record_tells_two_trips_of_one_rider(tmp_path: Path) -> None:
    """Records that leave have no field that is the same for trips of one rider and differs between riders."""
    store = a_store(tmp_path)
    trips, data = a_town()
    publish_in(store, trips, data)
    from noriai_api.store.exchange_tables import records

    bodies = [
        json.loads(b) for b in store.read(lambda c: c.execute(records.select()).mappings().all()) for b in [b["body"]]
    ]
    fields = {name for body in bodies for name in body}
    assert fields == {
        "release",
        "period",
        "unit",
        "epsilon",
        "interval",
        "left_out",
        "origins",
        "destinations",
        "trips",
        "low",
        "high",
    }
    assert all(body["release"]["group"] >= 36 for body in bodies)


# --- the ledger ---------------------------------------------------------------------------------------------------


def a_store(folder: Path) -> Database:
    store = open_database("", folder)
    migrate(store)
    return store


def publish_in(store: Database, trips: Trips, data: PublicData, **more: Any) -> tuple[dict[str, Any], bool]:
    question = Question(**{"area": "jis:08220", "first_day": "2026-10-05", "micro_epsilon": 1_000_000} | more)
    return publishing.publish(
        store,
        "t",
        question,
        1_000_000,
        trips,
        data,
        dataset="urn:d",
        measure=measure,
        rng=np.random.default_rng(1),
        now=NOW,
    )


def test_the_budget_refuses_and_says_what_is_left(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    trips, data = a_town()
    publish_in(store, trips, data, micro_epsilon=600_000)
    with pytest.raises(BudgetError, match=r"0\.5 is asked for, 0\.4 of 1 is left"):
        publish_in(store, trips, data, micro_epsilon=500_000)
    assert publish_in(store, trips, data, micro_epsilon=600_000)[1] is False
    assert publish_in(store, trips, data, micro_epsilon=400_000)[1] is True
    assert publish_in(store, trips, data, first_day="2026-11-02")[1] is True, "another period has a budget of its own"
    assert store.read(lambda c: ledger.spent(c, "t", "jis:08220", "2026-10-05/P28D")) == 1_000_000


def test_a_crash_after_the_charge_charges_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = a_store(tmp_path)
    trips, data = a_town()
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "release", lambda *a: (_ for _ in ()).throw(RuntimeError("planted")))
        with pytest.raises(RuntimeError):
            publish_in(store, trips, data)
    assert publish_in(store, trips, data)[1] is True
    assert store.read(lambda c: ledger.spent(c, "t", "jis:08220", "2026-10-05/P28D")) == 1_000_000


def test_a_thousand_at_once_spend_exactly_the_budget(tmp_path: Path) -> None:
    """Two tenants' clients together, different questions and copies of them: never a millionth too much."""
    store = a_store(tmp_path)
    writer = Writer(store)

    def ask(n: int) -> str:
        name = f"q{n % 400}"
        change = lambda c: ledger.charge(c, "t", "jis:08220", "p", name, 7_000 + n % 400, 1_000_000, NOW)  # noqa: E731
        try:
            return "new" if writer.put(change).result() else "known"
        except BudgetError:
            return "refused"

    with ThreadPoolExecutor(64) as pool:
        said = list(pool.map(ask, range(1000)))
    writer.close()
    rows = store.read(
        lambda c: c.exec_driver_sql(
            "SELECT release, micro_epsilon, spent_before, sequence FROM exchange_budgets ORDER BY sequence"
        ).all()
    )
    assert [row[3] for row in rows] == list(range(len(rows)))
    assert [row[2] for row in rows] == [sum(r[1] for r in rows[:n]) for n in range(len(rows))]
    assert len({row[0] for row in rows}) == len(rows) == said.count("new")
    total = sum(row[1] for row in rows)
    assert total <= 1_000_000
    assert total + 7_400 > 1_000_000, "and as much as there was"
    assert said.count("refused") > 0


@pytest.mark.shared
@pytest.mark.skipif(not NGSI.is_file(), reason="needs ../shared/standards/dataspace-protocol")
def test_ngsi_ld_entities_fit_their_schema() -> None:
    """Against the published schema; its two references to a common schema that is not in the folder are left out."""
    from jsonschema import Draft202012Validator
    from shapely.geometry import Point, shape

    schema = json.loads(NGSI.read_text())
    schema["allOf"] = [part for part in schema["allOf"] if "$ref" not in part]
    trips, data = a_town(1)
    said = release(QUESTION, trips, data, seeded(np.random.default_rng(1)), np.random.default_rng(1))
    entities = crowd_flows(said, "urn:noriai:node:a")
    assert len(entities) == len(said["figures"]) > 10
    for entity, figure in zip(entities, said["figures"], strict=True):
        Draft202012Validator(schema).validate(entity)
        assert entity["peopleCount"] == figure["trips"]
        area = shape(entity["location"])
        lon, lat = centres_of(np.array(figure["destinations"]))
        assert all(area.contains(Point(x, y)) for x, y in zip(lon, lat, strict=True))
        assert area.area == pytest.approx(len(figure["destinations"]) / 160 / 240, rel=1e-4)


# --- the command --------------------------------------------------------------------------------------------------


def command(*arguments: Any) -> subprocess.CompletedProcess[str]:
    program = [Path(sys.executable).parent / "noriai", "exchange", "publish", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_the_command(tmp_path: Path) -> None:
    trips, data = a_town(riders=400)
    rows = [
        f"r{r},{a[0]},{a[1]},{b[0]},{b[1]}"
        for r, a, b in zip(trips.riders, trips.origins, trips.destinations, strict=True)
    ]
    (tmp_path / "trips.csv").write_text(
        "rider,origin_lon,origin_lat,destination_lon,destination_lat\n" + "\n".join(rows)
    )
    public = [f"{c},{p},{a}" for c, p, a in zip(data.cells, data.people, data.attraction, strict=True)]
    (tmp_path / "public.csv").write_text("mesh,people,attraction\n" + "\n".join(public))
    options = {"--area": "jis:08220", "--from": "2026-10-05", "--data": tmp_path / "node",
               "--trips": tmp_path / "trips.csv", "--public": tmp_path / "public.csv"}  # fmt: skip
    given = [word for pair in options.items() for word in pair]
    first = command(*given)
    assert first.returncode == 0, first.stderr
    assert "epsilon 1 for a rider's 28 days" in first.stdout
    again = command(*given, "--json", "--ngsi-ld", tmp_path / "flows.json")
    assert len(json.loads((tmp_path / "flows.json").read_text())) == len(json.loads(again.stdout)["figures"])
    assert json.loads(again.stdout)["area"] == "jis:08220"
    assert "no budget spent" in command(*given).stdout
    more = command(*given, "--epsilon", "0.5")
    assert more.returncode != 0
    assert "0 of 1 is left" in more.stderr
    assert "Traceback" not in more.stderr
    for wrong, what in ((("--area", "Ibaraki"), "no area"), (("--from", "2026-10-06"), "2026-10-05 or 2026-11-02"), (("--epsilon", "0"), "nothing"),
                        (("--trips", tmp_path / "none.csv"), "not there"), (("--trips", tmp_path / "public.csv"), "no column rider")):  # fmt: skip
        said = command(*[word for pair in {**options, wrong[0]: wrong[1]}.items() for word in pair])
        assert said.returncode != 0
        assert what in said.stderr, said.stderr
