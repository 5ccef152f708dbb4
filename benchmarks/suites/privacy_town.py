"""A made-up town whose trips are to be published: riders with habits, homes in clusters, a few places to go to."""

from dataclasses import dataclass

import numpy as np

from noriai_api.exchange.privacy.mesh import codes_of
from noriai_api.exchange.privacy.partition import PublicData
from noriai_api.exchange.privacy.release import Trips

SIDE = 20
WEST, SOUTH = 140.0, 36.0
STEP_LON, STEP_LAT = 1 / 160, 1 / 240
"""A mesh of 500 m."""


@dataclass(frozen=True)
class Town:
    trips: Trips
    data: PublicData
    origin: np.ndarray
    destination: np.ndarray
    """Cells of each trip, (n,)."""


def a_town(seed: int, riders: int = 4000, trips: int = 24_000, places: int = 30) -> Town:
    """20 x 20 cells of 500 m. Homes in four clusters; each rider goes from home to up to three places of their own
    liking and back, as often as chance has it (mean 6 trips in 28 days). Public: people by cell, and which cells have
    a place; not public: how much each draws, and who likes what."""
    rng = np.random.default_rng(seed)
    xy = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2).astype(float)
    centres, weights = rng.uniform(3, 17, (4, 2)), (1, 0.5, 0.3, 0.2)
    density = np.full(len(xy), 0.02)
    for k, (centre, weight) in enumerate(zip(centres, weights, strict=True)):
        density += weight * np.exp(-((xy - centre) ** 2).sum(1) / (2 * (2.2 + k) ** 2))
    people = rng.poisson(density / density.sum() * 30_000).astype(float)
    chance = people / people.sum()
    where = rng.choice(len(xy), places, replace=False, p=chance)
    draw = np.zeros(len(xy))
    draw[where] = rng.pareto(1.2, places) + 0.5
    far = np.sqrt(((xy[:, None] - xy[None]) ** 2).sum(-1))
    home = rng.choice(len(xy), riders, p=chance)
    mean = rng.gamma(20.0, 1 / 20, riders)
    rounds = rng.poisson(mean * trips / 2 / mean.sum())
    who, a, b = [], [], []
    for rider in np.flatnonzero(rounds):
        liking = draw * np.exp(-far[home[rider]] / 5) * rng.gamma(0.7, 1, len(xy))
        own = rng.choice(len(xy), min(3, int((liking > 0).sum())), replace=False, p=liking / liking.sum())
        often = np.array([0.6, 0.3, 0.1])[: len(own)]
        for goal in rng.choice(own, rounds[rider], p=often / often.sum()):
            who += [rider, rider]
            a += [home[rider], goal]
            b += [goal, home[rider]]
    lon, lat = WEST + (xy[:, 0] + 0.5) * STEP_LON, SOUTH + (xy[:, 1] + 0.5) * STEP_LAT
    places_of = np.stack([lon, lat], axis=1)
    origin, destination = np.array(a), np.array(b)
    data = PublicData(codes_of(lon, lat), people, (draw > 0).astype(float))
    return Town(Trips(np.array(who), places_of[origin], places_of[destination]), data, origin, destination)
