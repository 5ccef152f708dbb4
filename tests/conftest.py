"""Fixtures shared by all tests: the made-up rural town, a finished run in it, and the developers' shared data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders import a_scenario_text
from hypothesis import HealthCheck, settings

settings.register_profile(
    "noriai", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("noriai")


FIRST = ("test_kills.py", "test_several_processes.py", "test_checked_days.py", "test_history.py", "test_privacy.py",
         "test_access.py", "test_exchange_crashes.py")  # fmt: skip
"""Files whose few tests take long: begun last, one worker would wait for the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(FIRST)))
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        for item in items:
            if item.get_closest_marker("compiled"):
                item.add_marker(pytest.mark.skip(reason="hours with kernels as plain Python"))


SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' shared data; tests that need it are skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the developers' ../shared/data is not here")
    return SHARED / "data"


@pytest.fixture(scope="session")
def rural(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from noriai_engine.regions import write_region
    from noriai_engine.world.rural import rural_region

    folder = tmp_path_factory.mktemp("regions") / "valley"
    write_region(rural_region(7), folder)
    return folder


@pytest.fixture(scope="session")
def rural_run(rural: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished and written run of a small day in the rural town."""
    from noriai_simulations.scenario import load_scenario
    from noriai_simulations.simulate import simulate, write_result

    folder = tmp_path_factory.mktemp("runs")
    (folder / "day.toml").write_text(a_scenario_text(rural, requests=120), encoding="utf-8")
    write_result(simulate(load_scenario(folder / "day.toml")), folder / "run", csv=True)
    return folder / "run"
