"""The travel-time oracle on Porto beside its peers: goals R1 to R7, CPU time, alternating runs in one process.

`make bench-roads` runs it in an environment that has the peers (OSRM through osrm-bindings, RoutingKit through
pyroutingkit, pandana). Without them, the rows that need them say so. `--json` prints the rows for programs.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).parents[3] / "shared" / "data" / "osm"
ROUNDS = 9


def cpu(work: Callable[[], Any]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def alternate(**works: Callable[[], Any]) -> dict[str, float]:
    """Median CPU seconds of each, run in turns after one run to warm up."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            taken[name].append(cpu(work))
    return {name: float(np.median(values)) for name, values in taken.items()}


class Table:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, goal: str, what: str, figure: str, wanted: str = "") -> None:
        self.rows.append({"goal": goal, "what": what, "figure": figure, "wanted": wanted})
        sys.stderr.write(f"{goal:<4} {what:<62} {figure:<44} {wanted}\n")


def points_of(network: Any, count: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """Places some 20 m beside random points of streets."""
    rng = np.random.default_rng(seed)
    at = rng.integers(0, len(network.point_lon), count)
    off = rng.normal(0, 2e-4, (count, 2))
    return np.column_stack([network.point_lon[at], network.point_lat[at]]) + off


def build(table: Table, extract: Path) -> Any:
    from noriai_engine.roads import TravelTimes, read_roads

    networks: list[Any] = []
    taken = alternate(read=lambda: networks.append(read_roads(extract, country="PT")))
    network = networks[-1]
    ready = alternate(ready=lambda: TravelTimes(network))
    times = TravelTimes(network)
    h = times.metric.oracle.hierarchy
    total = taken["read"] + ready["ready"]
    table.add("R5", "Porto .osm.pbf to ready oracle, CPU s", f"{total:.2f} (read {taken['read']:.2f})", "<= 3")
    labels = 8 * h.label_entries
    table.add(
        "-", "junctions / streets / states / turns / hierarchy arcs",
        " / ".join(f"{n:,}" for n in (network.node_count, network.street_count, h.node_count, network.turn_count,
                                      h.arc_count)),
    )  # fmt: skip
    table.add("-", "labels, bytes a state", f"{labels / h.node_count:,.0f} ({labels / 1e6:,.0f} MB)")
    table.add("-", "label depth, mean / deepest", f"{h.tree.depth.mean():.0f} / {h.tree.depth.max()}")
    return times


def with_osrm(table: Table, times: Any, extract: Path, folder: Path) -> None:
    try:
        import osrm
    except ImportError:
        table.add("R1", "OSRM", "osrm-bindings is not installed here", ">= 25 and >= 60")
        return
    binaries = Path(osrm.__file__).parent / "bin"
    data, profile = folder / "porto.osrm", Path(osrm.__file__).parent / "share" / "profiles" / "car.lua"
    if not (folder / "porto.osrm.hsgr").exists():
        (folder / "porto.osm.pbf").write_bytes(extract.read_bytes())
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for command in (
            ["osrm-extract", "-p", str(profile), str(folder / "porto.osm.pbf")],
            ["osrm-contract", str(data)],
        ):
            subprocess.run([binaries / command[0], *command[1:]], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        table.add("R5", "OSRM extract and contract, CPU s", f"{spent:.1f}", "ours 20 x faster")
    engine = osrm.OSRM(algorithm="CH", storage_config=str(data), use_shared_memory=False)
    for size, wanted in ((1_000, ">= 25"), (100, ">= 60")):
        points = points_of(times.network, size, 1)
        coordinates = [(float(x), float(y)) for x, y in points]

        def ask(coordinates: list[tuple[float, float]] = coordinates) -> Any:
            return engine.Table(osrm.TableParameters(coordinates=coordinates, generate_hints=False))

        taken = alternate(ours=lambda points=points: times.matrix(points), osrm=ask)
        table.add(
            "R1", f"{size} x {size} from coordinates, ms: ours, OSRM CH Table, ratio",
            f"{1e3 * taken['ours']:.2f}, {1e3 * taken['osrm']:.0f}, {taken['osrm'] / taken['ours']:.1f}", wanted,
        )  # fmt: skip
        if size == 100:
            theirs = np.array([list(row) for row in ask()["durations"]], float)
            ours = times.matrix(points) / 1e3
            mask = (ours > 60) & (theirs > 60) & (ours < 1e5)
            ratio = np.percentile(ours[mask] / theirs[mask], [5, 50, 95])
            table.add(
                "R6", "duration ratio to OSRM, p5 / p50 / p95", " / ".join(f"{r:.3f}" for r in ratio), "0.99 to 1.01"
            )


def with_routingkit(table: Table, times: Any) -> None:
    try:
        import pyroutingkit
    except ImportError:
        table.add("R2", "RoutingKit", "pyroutingkit is not installed here", ">= 40")
        return
    network, graph = times.network, times.graph
    tail, head = graph.source.astype(np.uint32), graph.target.astype(np.uint32)
    ms = times.metric.oracle.weights.ms.astype(np.uint32)
    start = network.arc_tail[network.state_arc]
    lat, lon = network.node_lat[start].astype(np.float32), network.node_lon[start].astype(np.float32)
    topology = pyroutingkit.CCHTopology()
    built = cpu(lambda: topology.build(tail, head, lat, lon, graph.state_count))
    metric = pyroutingkit.CCHMetric(topology)
    metric.customize(ms)
    table.add("-", "RoutingKit on the same turn graph: topology, CPU s", f"{built:.2f}")
    rng = np.random.default_rng(2)
    oracle = times.metric.oracle
    for size in (1_000, 100):
        a, b = (rng.integers(0, network.arc_count, size).astype(np.uint32) for _ in range(2))
        ours, theirs = oracle.matrix(a, b), np.asarray(metric.distances_many_to_many(a, b))
        same = np.array_equal(ours.reshape(-1), theirs.reshape(-1).astype(np.int64))
        taken = alternate(
            ours=lambda a=a, b=b: oracle.matrix(a, b), kit=lambda a=a, b=b: metric.distances_many_to_many(a, b)
        )
        table.add(
            "R2", f"{size} x {size} on the turn graph, ms: ours, RoutingKit, ratio",
            f"{1e3 * taken['ours']:.2f}, {1e3 * taken['kit']:.0f}, {taken['kit'] / taken['ours']:.1f}"
            + ("" if same else " DIFFERENT ANSWERS"), ">= 40 (node graph)" if size == 1_000 else "",
        )  # fmt: skip
    a, b = (rng.integers(0, network.arc_count, 2_000) for _ in range(2))
    one = alternate(kit=lambda: [metric.query(int(x), int(y)) for x, y in zip(a, b, strict=True)])
    table.add("R3", "RoutingKit, one pair with its way, us", f"{1e6 * one['kit'] / 2_000:.1f}")
    weights = [ms, (ms * 3 // 2).astype(np.uint32)]
    turn = [0]

    def customise() -> None:
        turn[0] ^= 1
        metric.customize(weights[turn[0]])

    table.add("R4", "RoutingKit, customise alone, ms", f"{1e3 * alternate(kit=customise)['kit']:.1f}")


def on_node_graphs(table: Table, network: Any) -> None:
    """Junctions and streets alone, no turns: what the peers can read."""
    try:
        import pyroutingkit
    except ImportError:
        return
    oracle, ends = junction_oracle(network)
    lat, lon = network.node_lat.astype(np.float32), network.node_lon.astype(np.float32)
    topology = pyroutingkit.CCHTopology()
    topology.build(ends[0].astype(np.uint32), ends[1].astype(np.uint32), lat, lon, network.node_count)
    metric = pyroutingkit.CCHMetric(topology)
    metric.customize(network.arc_ms.astype(np.uint32))
    rng = np.random.default_rng(6)
    a, b = (rng.integers(0, network.node_count, 1_000).astype(np.uint32) for _ in range(2))
    ours, theirs = oracle.matrix(a, b), np.asarray(metric.distances_many_to_many(a, b)).reshape(1_000, 1_000)
    near = ours < 1 << 29
    same = np.array_equal(ours[near], theirs[near].astype(np.int64))
    taken = alternate(ours=lambda: oracle.matrix(a, b), kit=lambda: metric.distances_many_to_many(a, b))
    table.add(
        "R2", f"1000 x 1000, node graph of {network.node_count:,}, ms: ours, RoutingKit, ratio",
        f"{1e3 * taken['ours']:.2f}, {1e3 * taken['kit']:.0f}, {taken['kit'] / taken['ours']:.1f}"
        + ("" if same else " DIFFERENT ANSWERS"), ">= 40",
    )  # fmt: skip
    k = 1_000_000
    far = [rng.integers(0, network.node_count, k).astype(np.int32) for _ in range(2)]
    near_by = [v[:1_000][rng.integers(0, 1_000, k)] for v in far]
    taken = alternate(far=lambda: oracle.pairs(*far), near=lambda: oracle.pairs(*near_by))
    table.add(
        "R3", "pair on the node graph, ns: random / among 1,000 stops",
        f"{1e9 * taken['far'] / k:.0f} / {1e9 * taken['near'] / k:.0f}", "<= 150",
    )  # fmt: skip
    weights = [network.arc_ms, (network.arc_ms * 3 // 2).astype(np.int32)]
    taken = alternate(ours=lambda: [oracle.reweighted(w) for w in weights])
    table.add("R4", "node graph, all weights new to all pairs exact, ms", f"{500 * taken['ours']:.1f}", "<= 60 (turns)")


def junction_oracle(network: Any) -> tuple[Any, tuple[Any, Any]]:
    from noriai_engine.roads import Oracle

    x = network.node_lon * np.cos(np.radians(float(np.median(network.node_lat))))
    ends = np.array(network.arc_tail), np.array(network.arc_head)
    oracle = Oracle.from_arcs(*ends, np.array(network.arc_ms), node_count=network.node_count, x=x, y=network.node_lat)
    return oracle, ends


def with_pandana(table: Table, extract: Path) -> None:
    try:
        import pandana
    except ImportError:
        table.add("R2", "pandana", "pandana is not installed here", ">= 1000")
        return
    import pandas as pd

    from noriai_engine.roads import read_roads

    network = read_roads(extract, country="MT")
    oracle, ends = junction_oracle(network)
    arcs = pd.DataFrame({"s": network.arc_ms / 1e3})  # it counts in thousandths, as int32
    net = pandana.Network(
        pd.Series(network.node_lon), pd.Series(network.node_lat), pd.Series(ends[0]), pd.Series(ends[1]), arcs,
        twoway=False,
    )  # fmt: skip
    rng = np.random.default_rng(8)
    a, b = (rng.integers(0, network.node_count, 1_000) for _ in range(2))
    pairs_of = np.repeat(a, 1_000), np.tile(b, 1_000)
    found: list[Any] = []
    begin = cpu(lambda: found.append(net.shortest_path_lengths(*pairs_of)))
    ours = [cpu(lambda: oracle.matrix(a, b)) for _ in range(ROUNDS)]
    mine = oracle.matrix(a, b).reshape(-1)
    near = mine < 1 << 29
    same = np.allclose(np.array(found[0])[near], mine[near] / 1e3, atol=0.1)
    table.add(
        "R2", f"1000 x 1000, Malta junctions {network.node_count:,}, ms: ours, pandana, ratio",
        f"{1e3 * np.median(ours):.2f}, {1e3 * begin:.0f}, {begin / np.median(ours):.0f}"
        + ("" if same else " DIFFERENT ANSWERS"), ">= 1000",
    )  # fmt: skip


def a_million_nodes(table: Table, network: Any) -> None:
    """All points of all streets as nodes, tiled 2 x 2, the tiles joined along their seams."""
    from noriai_engine.roads import Oracle

    first = np.asarray(network.street_first)
    count, points = np.diff(first), len(network.point_lon)
    node = np.full(points, -1, np.int64)
    ahead, back = network.arcs_of_street
    arc = np.where(ahead >= 0, ahead, back)
    flip = ahead < 0
    node[first[:-1]] = np.where(flip, network.arc_head[arc], network.arc_tail[arc])
    node[first[1:] - 1] = np.where(flip, network.arc_tail[arc], network.arc_head[arc])
    inner = np.flatnonzero(node < 0)
    node[inner] = network.node_count + np.arange(len(inner))
    n = network.node_count + len(inner)
    x, y = np.zeros(n), np.zeros(n)
    x[node], y[node] = network.point_lon * np.cos(np.radians(float(np.median(network.node_lat)))), network.point_lat
    street = np.repeat(np.arange(len(count)), count)
    piece = np.flatnonzero(street[:-1] == street[1:])
    metres = np.maximum(1, np.hypot(x[node[piece]] - x[node[piece + 1]], y[node[piece]] - y[node[piece + 1]]) * 1e7)
    ends = []
    for arcs, tail, head in ((ahead, piece, piece + 1), (back, piece + 1, piece)):
        there = arcs[street[piece]] >= 0
        ends.append((node[tail[there]], node[head[there]], metres[there]))
    tail, head, ms = (np.concatenate(c) for c in zip(*ends, strict=True))
    width, height = np.ptp(x), np.ptp(y)
    parts = [(tail + k * n, head + k * n, ms) for k in range(4)]
    for a, b, coordinate in ((0, 1, x), (2, 3, x), (0, 2, y), (1, 3, y)):
        high, low = np.argsort(-coordinate)[:60] + a * n, np.argsort(coordinate)[:60] + b * n
        parts += [(high, low, np.full(60, 1e4)), (low, high, np.full(60, 1e4))]
    tail, head, ms = (np.concatenate(c) for c in zip(*parts, strict=True))
    xs = np.concatenate([x + (k % 2) * width for k in range(4)])
    ys = np.concatenate([y + (k // 2) * height for k in range(4)])
    made: list[Any] = []
    spent = cpu(lambda: made.append(Oracle.from_arcs(tail, head, ms.astype(np.int32), node_count=4 * n, x=xs, y=ys)))
    oracle = made[0]
    table.add("R5", f"arrays of {4 * n:,} nodes, {len(tail):,} arcs to ready oracle, CPU s", f"{spent:.1f}", "<= 10")
    rng = np.random.default_rng(9)
    some = rng.integers(0, 4 * n, 1_000).astype(np.int32)
    first_time = cpu(lambda: oracle.matrix(some, some))
    again = alternate(matrix=lambda: oracle.matrix(some, some))["matrix"]
    table.add("-", "1000 x 1000 there, ms: first time (rows made), again", f"{1e3 * first_time:.0f}, {1e3 * again:.1f}")


def pairs(table: Table, times: Any) -> None:
    oracle = times.metric.oracle
    rng = np.random.default_rng(3)
    k = 1_000_000
    far = [rng.integers(0, times.network.arc_count, k).astype(np.int32) for _ in range(2)]
    near = [v[:1_000][rng.integers(0, 1_000, k)] for v in far]
    taken = alternate(far=lambda: oracle.pairs(*far), near=lambda: oracle.pairs(*near))
    table.add("R3", "pair in a kernel, ns: random over the city", f"{1e9 * taken['far'] / k:.0f}", "<= 150")
    table.add("R3", "pair in a kernel, ns: among 1,000 stops (dispatch)", f"{1e9 * taken['near'] / k:.0f}", "<= 150")
    points = points_of(times.network, 10_000, 4)
    taken = alternate(snap=lambda: times.snap(points))
    table.add("R1", "snapping, us a point", f"{1e6 * taken['snap'] / 10_000:.2f}", "<= 3")
    stops = far[0][:1_000], np.zeros(1_000, np.int32)
    taken = alternate(row=lambda: times.to_spots(times_spot(far[1][0]), *stops))
    table.add("-", "one spot to 1,000 stops, us", f"{1e6 * taken['row']:.0f}")
    ways = list(zip(far[0][:200].tolist(), far[1][:200].tolist(), strict=True))
    taken = alternate(way=lambda: [oracle.path(a, b) for a, b in ways])
    table.add("-", "a way with its turns, us", f"{1e6 * taken['way'] / 200:.0f}")


def times_spot(state: int) -> Any:
    from noriai_engine.model import Spot

    return Spot(int(state))


def traffic(table: Table, times: Any) -> None:
    from noriai_engine.roads.traffic import Traffic, slower

    network = times.network
    everything = np.arange(network.arc_count)
    states = [slower(network, everything, permille) for permille in (1_500, 1_400)]
    turn = [0]

    def change() -> None:
        turn[0] ^= 1
        times.set_traffic(states[turn[0]])

    taken = alternate(full=change)
    table.add("R4", "all weights new to all pairs exact, ms", f"{1e3 * taken['full']:.1f}", "<= 60")
    times.set_traffic(Traffic())
    rng = np.random.default_rng(5)
    lon, lat = network.node_lon[network.arc_tail], network.node_lat[network.arc_tail]
    spent = []
    for _ in range(21):
        centre = int(rng.integers(network.arc_count))
        near = np.argsort((lon - lon[centre]) ** 2 + (lat - lat[centre]) ** 2)[:100]
        incident = slower(network, near, 3_000)
        spent.append(cpu(lambda incident=incident: times.set_traffic(incident)))
        times.set_traffic(Traffic())
    low, middle, high = np.percentile(spent[1:], [10, 50, 90])
    table.add("R4", "incident on 100 neighbouring arcs, ms: p10 / p50 / p90",
              f"{1e3 * low:.1f} / {1e3 * middle:.1f} / {1e3 * high:.1f}", "<= 3")  # fmt: skip


def starts(table: Table, extract: Path) -> None:
    """Import to first matrix in a fresh process: warm, and with an empty kernel cache."""
    code = (
        "import time; b = time.process_time()\n"
        "from noriai_engine.regions import open_region\nfrom noriai_engine.roads import TravelTimes\n"
        "from pathlib import Path\nimport sys\nn = open_region(Path(sys.argv[1])).network\n"
        "t = TravelTimes(n); t.matrix([(float(n.point_lon[0]), float(n.point_lat[0]))] * 2)\n"
        "print(time.process_time() - b)"
    )
    with tempfile.TemporaryDirectory() as name:
        from noriai_engine.regions import write_region
        from noriai_engine.world.rural import rural_region

        region = Path(name) / "town"
        write_region(rural_region(7), region)

        def run(home: Path) -> float:
            home.mkdir(exist_ok=True)
            env = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
            done = subprocess.run(
                [sys.executable, "-c", code, region], env=env, capture_output=True, text=True, check=True
            )
            return float(done.stdout)

        cold = run(Path(name) / "home")
        warm = sorted(run(Path(name) / "home") for _ in range(5))[2]
    table.add("R7", "import to first matrix, warm / cold, CPU s", f"{warm:.2f} / {cold:.1f}", "<= 1 / <= 20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for OSRM's prepared data, to use again")
    options = parser.parse_args()
    extract = SHARED / "pt-porto-large.osm.pbf"
    if not extract.is_file():
        sys.exit("the developers' ../shared is absent: this suite needs its Porto extract")
    table = Table()
    table.add("-", "machine", f"Python {platform.python_version()}, {platform.machine()}, {ROUNDS} rounds")
    times = build(table, extract)
    pairs(table, times)
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(exist_ok=True)
        with_osrm(table, times, extract, folder)
    with_routingkit(table, times)
    on_node_graphs(table, times.network)
    with_pandana(table, SHARED / "mt-malta.osm.pbf")
    a_million_nodes(table, times.network)
    traffic(table, times)
    starts(table, extract)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.add("-", "peak memory of this process, MB", f"{peak:,.0f}")
    if options.json:
        print(json.dumps(table.rows, indent=1))


if __name__ == "__main__":
    main()
