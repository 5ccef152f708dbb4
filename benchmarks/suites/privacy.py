"""Published trips of a town, beside fixed grids of zones, at the same epsilon, cap and noise, on the same trips.

    python benchmarks/suites/privacy.py --seeds 5

covered: share of all trips in published figures. error: median relative error of a published figure against the truth
(trips beyond the cap counted). invented: published figures of pairs without a single trip. fine: sum of absolute errors
over all pairs of 500 m cells, over all trips, each figure spread evenly ("even") or by the public forecast ("public").
"""

import argparse
import sys

import numpy as np
from privacy_town import SIDE, Town, a_town

from noriai_api.exchange.privacy.noise import measure
from noriai_api.exchange.privacy.partition import forecast
from noriai_api.exchange.privacy.release import CAP, Question, capped, release

EPSILON = 1.0


def judged(town: Town, label: np.ndarray, value: np.ndarray) -> list[float]:
    """[covered, error, invented, figures, fine even, fine public]; `value` is 0 where nothing is published."""
    cells = SIDE * SIDE
    truth = np.zeros((cells, cells))
    np.add.at(truth, (town.origin, town.destination), 1)
    exact = np.bincount(label.ravel(), weights=truth.ravel(), minlength=len(value))
    shown = value > 0
    fine = []
    for spread in (np.ones((cells, cells)), forecast(town.data)):
        whole = np.bincount(label.ravel(), weights=spread.ravel(), minlength=len(value))
        fine.append(np.abs((value / np.maximum(whole, 1e-12))[label] * spread - truth).sum() / truth.sum())
    error = np.abs(value[shown] - exact[shown]) / np.maximum(exact[shown], 1)
    return [
        exact[shown].sum() / truth.sum(),
        float(np.median(error)),
        float((exact[shown] == 0).sum()),
        float(shown.sum()),
        *fine,
    ]


def fixed_grid(town: Town, side: int, rng: np.random.Generator) -> list[float]:
    """side x side zones of the same size: discrete Laplace for every pair, published from 3 scales up."""
    cell = np.arange(SIDE * SIDE)
    zone = (cell // SIDE) // (SIDE // side) * side + (cell % SIDE) // (SIDE // side) if SIDE % side == 0 else (
        (cell // SIDE) * side // SIDE * side + (cell % SIDE) * side // SIDE)  # fmt: skip
    label = zone[:, None] * side**2 + zone[None]
    kept = capped(town.trips.riders, CAP, rng)
    exact = np.bincount(label[town.origin[kept], town.destination[kept]], minlength=side**4)
    noisy = measure(exact.astype(np.int64), CAP / EPSILON)
    return judged(town, label, np.where(noisy >= 3 * CAP / EPSILON, noisy, 0))


def ours(town: Town, rng: np.random.Generator) -> list[float]:
    """The published release itself, read as its recipient reads it."""
    said = release(Question("jis:08220", "2024-01-01", int(EPSILON * 1e6)), town.trips, town.data, measure, rng)
    place = {int(code): k for k, code in enumerate(town.data.cells)}
    label = np.zeros((SIDE * SIDE, SIDE * SIDE), np.int64)
    for number, figure in enumerate(said["figures"], start=1):
        rows, columns = ([place[c] for c in figure[name]] for name in ("origins", "destinations"))
        label[np.ix_(rows, columns)] = number
    return judged(town, label, np.array([0, *(figure["trips"] for figure in said["figures"])], float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    found: dict[str, list[list[float]]] = {}
    for seed in range(1, seeds + 1):
        town, rng = a_town(seed), np.random.default_rng(1000 + seed)
        for side in (5, 4, 3):
            found.setdefault(f"{side * side} fixed zones", []).append(fixed_grid(town, side, rng))
        found.setdefault("noriai", []).append(ours(town, rng))
        print(f"seed {seed}: {len(town.origin):,} trips", file=sys.stderr)
    print(f"epsilon {EPSILON:g} for a rider's 28 days, cap {CAP}, seeds 1 to {seeds}, OpenDP's discrete Laplace\n")
    heads = ("covered", "error", "invented", "figures", "fine, even", "fine, public")
    print(" " * 16 + "".join(f"{head:>14}" for head in heads))
    for name, rows in found.items():
        mean = np.mean(rows, 0)
        cells = (f"{mean[0]:.1%}", f"{mean[1]:.1%}", f"{len(rows) * mean[2]:.0f}", f"{mean[3]:.0f}", f"{mean[4]:.2f}",
                 f"{mean[5]:.2f}")  # fmt: skip
        print(f"{name:16}" + "".join(f"{cell:>14}" for cell in cells))


if __name__ == "__main__":
    main()
