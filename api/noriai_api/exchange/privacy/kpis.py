"""What became of requests in an area and period, with noise that hides any one rider: the figures a neighbour may see
of a service's quality.

The unit is a rider's whole period, as for trips: at most CAP of their requests count, chosen at random. All cells are
fixed beforehand (outcome, kind of day, hours), so that each request changes one count by one; waits are cut at
LONGEST_WAIT_MIN before they are added up.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noriai_api.exchange.privacy.noise import Measure, micro_epsilon
from noriai_api.exchange.privacy.release import (
    INTERVAL,
    INTERVAL_SIGMAS,
    PERIOD_DAYS,
    PUBLISH_SCALES,
    SMALLEST_GROUP,
    Question,
    capped,
    half_width,
    variance_of,
)

Ints = NDArray[np.int64]

METHOD = "noriai kpi 1"
OUTCOMES = ("served", "refused", "not_taken", "cancelled", "no_show", "dropped")
"""What becomes of a request; `not_taken`: offers were made, and none was booked."""
DAYS = ("weekday", "weekend")
HOURS = ((0, 9), (9, 12), (12, 16), (16, 24))
"""Bands of hours of the day wished for, half-open."""
LONGEST_WAIT_MIN = 60
COUNT_SHARE, WAIT_SHARE, SHARED_SHARE = 0.8, 0.15, 0.05
"""Shares of epsilon: for the counts, for the sum of waits, for the number of shared rides."""


@dataclass(frozen=True)
class Requests:
    """Requests of a period, all (n,): riders as numbers, place in OUTCOMES, weekend or not, hour wished for, minutes
    from the wished pickup to the promised one (of those served), shared with another rider or not."""

    riders: Ints
    outcome: Ints
    weekend: NDArray[np.bool_]
    hour: Ints
    wait_min: Ints
    shared: NDArray[np.bool_]


def release_kpis(question: Question, requests: Requests, measure: Measure, rng: np.random.Generator) -> dict[str, Any]:
    """Answer a question; its budget has been charged. Nothing else of the requests is looked at."""
    epsilon, cap = question.micro_epsilon / 1e6, question.cap
    scales = {
        "counts": cap / (epsilon * COUNT_SHARE), "wait": cap * LONGEST_WAIT_MIN / (epsilon * WAIT_SHARE),
        "shared": cap / (epsilon * SHARED_SHARE),
    }  # fmt: skip
    sensitivity = {"counts": cap, "wait": cap * LONGEST_WAIT_MIN, "shared": cap}
    cost = sum(micro_epsilon(scales[name], sensitivity[name]) for name in scales)
    if cost > question.micro_epsilon + 3:  # each of the three is rounded up
        raise AssertionError(f"{cost} would be spent where {question.micro_epsilon} was charged")
    kept = np.flatnonzero(capped(requests.riders, cap, rng))
    served = kept[requests.outcome[kept] == OUTCOMES.index("served")]
    band = np.searchsorted([end for _, end in HOURS], requests.hour[kept], side="right")
    shape = (len(OUTCOMES), len(DAYS), len(HOURS))
    cell = np.ravel_multi_index((requests.outcome[kept], requests.weekend[kept].astype(np.int64), band), shape)
    exact = np.bincount(cell, minlength=int(np.prod(shape))).astype(np.int64)
    counts = measure(exact, scales["counts"]).reshape(shape)
    waits = np.clip(requests.wait_min[served], 0, LONGEST_WAIT_MIN).sum(dtype=np.int64)
    wait = int(measure(np.array([waits], np.int64), scales["wait"])[0])
    shared = int(measure(np.array([requests.shared[served].sum()], np.int64), scales["shared"])[0])
    return _said(question, counts, wait, shared, scales)


def _said(question: Question, counts: Ints, wait: int, shared: int, scales: dict[str, float]) -> dict[str, Any]:
    """The release as it is published: cells from a threshold up, totals, and shares of totals with intervals."""
    one = variance_of(scales["counts"])
    threshold = max(SMALLEST_GROUP, int(np.ceil(PUBLISH_SCALES * scales["counts"])))
    figures: list[dict[str, Any]] = [
        {"kpi": "requests", "outcome": OUTCOMES[o], "days": DAYS[d], "hours": f"{HOURS[h][0]:02}-{HOURS[h][1]:02}",
         "unit": "requests", **_with_interval(int(counts[o, d, h]), one)}
        for o, d, h in np.argwhere(counts >= threshold).tolist()
    ]  # fmt: skip
    by_outcome = {name: int(counts[k].sum()) for k, name in enumerate(OUTCOMES)}
    spread = one * counts[0].size
    totals = [{"kpi": "requests", "outcome": name, "unit": "requests", **_with_interval(count, spread)}
              for name, count in by_outcome.items() if count >= threshold]  # fmt: skip
    everybody, half = sum(by_outcome.values()), half_width(one * counts.size)
    served = (by_outcome["served"], spread)
    ratios = []
    for name in ("served", "refused", "no_show"):
        others = (everybody - by_outcome[name], one * counts.size - spread)
        ratios.append(_share(f"{name}_share", (by_outcome[name], spread), others))
    ratios.append(_mean("wait_mean", "min", (wait, variance_of(scales["wait"])), served))
    ratios.append(_mean("shared_share", "share", (shared, variance_of(scales["shared"])), served))
    return {
        "release": question.release, "area": question.area, "period": question.period, "method": question.method,
        "unit": f"a rider's {PERIOD_DAYS} days", "epsilon": question.micro_epsilon / 1e6, "cap": question.cap,
        "noise": {"mechanism": "discrete Laplace, OpenDP", "scales": {k: round(v, 3) for k, v in scales.items()}},
        "threshold": threshold, "interval": INTERVAL,
        "total": {"requests": everybody, "low": max(0, everybody - half), "high": everybody + half},
        "left_out": f"requests of riders without a profile, or beyond {question.cap} of a rider; waits over "
        f"{LONGEST_WAIT_MIN} min count as {LONGEST_WAIT_MIN}",
        "kpis": [ratio for ratio in ratios if ratio is not None], "outcomes": totals, "figures": figures,
    }  # fmt: skip


def _with_interval(count: int, variance: float) -> dict[str, int]:
    half = half_width(variance)
    return {"value": count, "low": max(0, count - half), "high": count + half}


Noisy = tuple[int, float]
"""A figure with the variance of its noise."""


def _share(kpi: str, part: Noisy, others: Noisy) -> dict[str, Any] | None:
    """What share a figure is of itself and others, whose noise is another; the interval by the delta method."""
    whole = part[0] + others[0]
    if not _is_told((whole, part[1] + others[1])):
        return None
    share = part[0] / whole
    return _told(kpi, "share", share, ((1 - share) ** 2 * part[1] + share**2 * others[1]) / whole**2)


def _mean(kpi: str, unit: str, total: Noisy, count: Noisy) -> dict[str, Any] | None:
    """A noisy total over a noisy count; the interval by the delta method."""
    if not _is_told(count):
        return None
    mean = total[0] / count[0]
    return _told(kpi, unit, mean, (total[1] + mean**2 * count[1]) / count[0] ** 2)


def _is_told(denominator: Noisy) -> bool:
    """Is a denominator so far from 0 that the delta method holds?"""
    return denominator[0] > 10 * float(np.sqrt(denominator[1]))


def _told(kpi: str, unit: str, value: float, variance: float) -> dict[str, Any]:
    half, most = INTERVAL_SIGMAS * float(np.sqrt(variance)), 1.0 if unit == "share" else float("inf")
    low, at, high = (round(min(most, max(0.0, end)), 4) for end in (value - half, value, value + half))
    return {"kpi": kpi, "unit": unit, "value": at, "low": low, "high": high}
