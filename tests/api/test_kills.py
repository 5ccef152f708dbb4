"""A node that is killed again and again, under clients that repeat what they got no answer to: nothing acknowledged is
lost, nothing is done twice, nobody is overbooked. What is checked is read from the store with plain SQL and JSON."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

import pytest
from victims import CLIENTS, Rider, Victim, acknowledged, check_store, rural_places


def kill_again_and_again(folder: Path, database: str, kills: int) -> dict[str, float]:
    victim = Victim(folder, database)
    starts = [victim.start()]
    places, region = rural_places(folder)
    riders = [Rider(number, [victim], places, region) for number in range(CLIENTS)]
    for rider in riders:
        rider.start()
    rng = random.Random(kills)
    for _ in range(kills):
        before, end = acknowledged(riders), time.monotonic() + 30
        while acknowledged(riders) < before + 10 and time.monotonic() < end:
            time.sleep(0.05)  # a life counts once riders were served in it
        time.sleep(rng.uniform(0.0, 0.5))
        victim.end(signal.SIGKILL)
        starts.append(victim.start())
    time.sleep(0.5)
    for rider in riders:
        rider.stopping = True
    for rider in riders:
        rider.join(60)
    victim.end(signal.SIGTERM)
    assert victim.process is not None
    assert victim.process.returncode == 0, victim.process.communicate()
    return {**check_store(folder, database, riders), "start_s": sorted(starts)[len(starts) // 2]}


@pytest.mark.compiled
def test_killed_thrice(database: str, tmp_path: Path) -> None:
    """The short form, at every change."""
    figures = kill_again_and_again(tmp_path, database, 3)
    assert figures["acknowledged"] >= 20, figures


@pytest.mark.long
@pytest.mark.compiled
def test_killed_twenty_times(database: str, tmp_path: Path) -> None:
    figures = kill_again_and_again(tmp_path, database, 20)
    assert figures["acknowledged"] >= 200, figures
    sys.stdout.write(f"{'postgresql' if database else 'sqlite'}: {figures}\n")
