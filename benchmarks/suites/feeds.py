"""Feeds: a city three times over (1.3 million stop times) from zip to searchable arrays, beside polars reading strings.

Alternating runs in one process; wall and CPU seconds, peak memory of a process of its own, ratios to polars. Then a
GTFS Realtime message of 1,000 trips, and validation.

    .venv/bin/python benchmarks/suites/feeds.py
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

WORLD = Path(__file__).parents[3] / "shared" / "data" / "gtfs" / "world"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", nargs=2, metavar=("WHAT", "FILE"), help="(for itself) print the peak of one load")
    args = parser.parse_args()
    if args.peak:
        print_peak(*args.peak)
        return
    with tempfile.TemporaryDirectory() as folder:
        big = Path(folder) / "big.zip"
        rows = thrice(WORLD / "hart-tampa-435k.zip", big)
        stored = Path(folder) / "timetable"
        calls: dict[str, Callable[[], object]] = {
            "polars, all strings": lambda: polars_strings(big),
            "noriai, to arrays": lambda: noriai_arrays(big),
        }
        keep(big, stored)
        calls["noriai, stored, opened"] = lambda: reopened(stored)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for _ in range(args.rounds + 1):
            for name, call in calls.items():
                wall, cpu = time.perf_counter(), time.process_time()
                call()
                spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
        print(f"{rows:,} stop times, {big.stat().st_size / 1e6:.1f} MB zip, medians of {args.rounds} rounds")
        wall, cpu = (statistics.median(t[k] for t in spent["polars, all strings"][1:]) for k in (0, 1))
        for name, times in spent.items():
            mine = [statistics.median(t[k] for t in times[1:]) for k in (0, 1)]
            print(
                f"{name:<24} wall {mine[0]:.3f} s ({mine[0] / wall:.2f} x) CPU {mine[1]:.3f} s ({mine[1] / cpu:.2f} x)"
            )
        for what in ("polars", "noriai"):
            command = [sys.executable, __file__, "--peak", what, str(big)]
            print(
                f"peak of {what}: {subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}"
            )
    realtime(args.rounds)


def thrice(source: Path, target: Path) -> int:
    """The feed with every trip three times, under new ids."""
    rows = 0
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            text = old.read(info).decode("utf-8-sig")
            if info.filename in ("trips.txt", "stop_times.txt"):
                lines = [line for line in text.splitlines() if line.strip()]
                column = lines[0].split(",").index("trip_id")
                out = [lines[0]]
                for copy in range(3):
                    for line in lines[1:]:
                        cells = line.split(",")
                        cells[column] = f"{cells[column].strip()}_{copy}"
                        out.append(",".join(cells))
                rows = max(rows, len(out) - 1)
                text = "\n".join(out) + "\n"
            new.writestr(info.filename, text)
    return rows


def polars_strings(path: Path) -> object:
    import polars

    with zipfile.ZipFile(path) as archive:
        return [
            polars.read_csv(data, infer_schema=False)
            for info in archive.infolist() if (data := archive.read(info)).strip()
        ]  # fmt: skip


def noriai_arrays(path: Path) -> object:
    from noriai_gtfs import read_feed
    from noriai_gtfs.timetable import build_timetable

    return build_timetable([read_feed(path)])


def keep(path: Path, folder: Path) -> None:
    from noriai_gtfs import read_feed
    from noriai_gtfs.timetable import build_timetable, save_timetable

    save_timetable(build_timetable([read_feed(path)]), folder, {})


def reopened(folder: Path) -> object:
    from noriai_gtfs.timetable import open_timetable

    return open_timetable(folder)


def print_peak(what: str, file: str) -> None:
    """Peak resident memory of one load over that of a small one, MB."""
    load = polars_strings if what == "polars" else noriai_arrays
    load(WORLD / "coquimbo.zip")
    before = _peak_kib()
    kept = load(Path(file))
    print(f"{(_peak_kib() - before) / 1024:.0f} MB over base", bool(kept) and "")


def _peak_kib() -> int:
    """Peak resident memory of this process since it began (that of getrusage counts the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


def realtime(rounds: int) -> None:
    """1,000 trips of Porto Alegre late by three updates each."""
    from google.transit.gtfs_realtime_pb2 import FeedMessage

    from noriai_gtfs import read_feed
    from noriai_gtfs.realtime import apply_updates
    from noriai_gtfs.timetable import build_timetable, day_timetable

    timetable = build_timetable([read_feed(WORLD / "portoalegre-eptc.zip")])
    day = day_timetable(timetable, date(2019, 5, 8))
    rng = np.random.default_rng(1)
    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    for trip in rng.choice(timetable.trips, 1000, replace=False).tolist():
        update = message.entity.add(id=str(trip)).trip_update
        update.trip.trip_id = timetable.trip_id[trip]
        for sequence in (5, 9, 17):
            update.stop_time_update.add(stop_sequence=sequence).arrival.delay = int(rng.integers(0, 600))
    data = message.SerializeToString()
    spent = []
    for _ in range(rounds + 1):
        begun = time.process_time()
        applied = apply_updates(day, data)
        spent.append(time.process_time() - begun)
    print(f"realtime: {applied.updated:,} trips in {1000 * statistics.median(spent[1:]):.1f} CPU ms")


if __name__ == "__main__":
    main()
