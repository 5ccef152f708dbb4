"""The promises of the house: cold start, arrows, texts, documents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from noriai_engine.model.events import EVENT_KINDS
from noriai_engine.texts import LANGUAGES, catalogue, text

ROOT = Path(__file__).parents[2]
SOURCES = [p for folder in ("engine", "gtfs", "api", "simulations") for p in (ROOT / folder).rglob("*.py")]


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nsys.stderr.write('|'.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split("|"))


def test_help_loads_no_heavy_library() -> None:
    code = "from noriai_engine.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code"
    loaded = modules_after(code)
    assert not loaded & {"numba", "geopandas", "pandas", "scipy", "osmnx", "networkx", "ortools", "shapely"}


def test_importing_the_engine_is_cheap() -> None:
    assert "numpy" not in modules_after("import noriai_engine")
    assert "numba" not in modules_after("import noriai_engine.dispatch, noriai_engine.roads, noriai_engine.regions")


def test_arrows() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_reason_in_the_code_has_its_texts_and_its_line_in_the_docs() -> None:
    groups = "area|place|stops|service|booking|time|fleet"
    dispatch = "\n".join(p.read_text() for p in (ROOT / "engine/noriai_engine/dispatch").glob("*.py"))
    reasons = set(re.findall(rf'"((?:{groups})\.[a-z_]+)"', dispatch))
    assert len(reasons) >= 15
    documented = (ROOT / "docs/service-rules.md").read_text()
    for reason in reasons:
        assert all(text(reason, language) for language in LANGUAGES)
        assert f"`{reason}`" in documented, reason


def test_every_text_is_in_both_languages() -> None:
    for key, entry in catalogue().items():
        assert all(entry[language].strip() for language in LANGUAGES), key
        assert set(entry) == {"ja", "en", "easy"}, key


def test_every_kpi_has_name_definition_and_unit() -> None:
    from noriai_engine.kpis import compute_kpis

    for kpi in compute_kpis([], [], []):
        for language in LANGUAGES:
            assert text(f"kpi.{kpi.key}", language)
            assert text(f"kpi.{kpi.key}_def", language)
            assert text(f"unit.{kpi.unit}", language)


def test_every_event_is_documented() -> None:
    documented = (ROOT / "docs/run-folder.md").read_text()
    assert all(f"`{kind}`" in documented for kind in EVENT_KINDS)


def test_every_scenario_field_is_documented() -> None:
    from noriai_simulations import scenario_file as module

    documented = (ROOT / "docs/scenario.md").read_text()
    tables = ("ServiceTable", "SyntheticTable", "DemandTable", "FleetTable", "DispatchTable", "OperatorTable")
    for table in (*tables, "LifeTable", "TrafficTable", "BatteryTable"):
        for name in getattr(module, table).model_fields:
            assert re.search(rf"[`.]{name}[`\]]", documented), f"{table}.{name}"


def test_bundle_files_are_documented() -> None:
    from noriai_engine.regions.bundle import FOOT_ARRAYS, ROAD_ARRAYS

    documented = (ROOT / "docs/region-bundle.md").read_text()
    assert all(f"`{name}`" in documented for name in (*ROAD_ARRAYS, *FOOT_ARRAYS))


def test_nothing_reads_the_wall_clock_or_unseeded_chance() -> None:
    """Clock and randomness are passed in; the command line alone may time itself and ask for today's date."""
    banned = re.compile(
        r"time\.time\(|datetime\.now|date\.today|utcnow|np\.random\.(?!default_rng|Generator|SeedSequence)|import random\b|uuid4"
    )
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if path.parts[-2] == "commands":
            text = text.replace("datetime.date.today()", "")
        assert not banned.search(text), path


def test_nobody_but_the_terminal_prints() -> None:
    for path in SOURCES:
        if path.parts[-2] == "commands":
            continue
        assert not re.search(r"^\s*print\(", path.read_text(encoding="utf-8"), re.M), path


@pytest.mark.parametrize("lock", ["base.lock", "dev.lock", "uv.txt"])
def test_locks_have_hashes_and_name_no_host(lock: str) -> None:
    content = (ROOT / "requirements" / lock).read_text()
    assert "--hash=sha256:" in content
    assert "://" not in content


def test_shipped_scenarios_are_valid() -> None:
    from noriai_simulations import shipped
    from noriai_simulations.scenario_file import load_scenario_file

    for name in shipped.SCENARIOS:
        assert load_scenario_file(shipped.scenario_file(name)).name == name


def test_version_is_one() -> None:
    import noriai_engine

    assert f'version = "{noriai_engine.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_every_problem_of_the_service_has_its_texts() -> None:
    from noriai_api.problems import PROBLEMS

    for code in PROBLEMS:
        for language in LANGUAGES:
            assert text(f"problem.{code}", language)
            assert text(f"problem.{code}_next", language)


def test_every_setting_is_explained_and_every_fare_field_documented() -> None:
    from noriai_api.settings import NodeSettings
    from noriai_engine.rules.tariff import FareTable

    assert all(field.description for field in NodeSettings.model_fields.values())
    documented = (ROOT / "docs/service.md").read_text()
    assert all(re.search(rf"\b{name}\b", documented) for name in FareTable.model_fields)


def test_the_service_loads_no_planner_library() -> None:
    heavy = {"geopandas", "pandas", "osmnx", "networkx", "ortools"}
    assert not modules_after("import noriai_api.app, noriai_api.serving, noriai_api.node") & heavy


def test_every_field_of_a_rule_pack_is_documented() -> None:
    from pydantic import BaseModel

    from noriai_engine.rules import pack_file
    from noriai_engine.rules.town_file import TownFile

    documented = (ROOT / "docs/rules.md").read_text()
    tables = [t for t in vars(pack_file).values() if isinstance(t, type) and issubclass(t, BaseModel)]
    for name in {field for table in tables for field in table.model_fields}:
        assert f"`{name}`" in documented or f"[{name}]" in documented or f"({name}" in documented or name in documented
    town = (ROOT / "docs/service.md").read_text()
    own = set(TownFile.model_fields) - set(TownFile.__mro__[1].model_fields)  # type: ignore[attr-defined]
    assert all(name in town for name in own)


def test_the_exchange_runs_without_a_node() -> None:
    loaded = modules_after("import noriai_api.exchange.door, noriai_api.exchange.workers, noriai_api.exchange.privacy")
    assert not loaded & {
        "noriai_api.node",
        "noriai_api.app",
        "noriai_api.bookings.service",
        "numba",
        "noriai_engine.dispatch",
    }


def test_compiled_kernels_are_kept_by_content_wherever_they_are_kept(tmp_path: Path) -> None:
    """numba does not notice a change in another file that a kernel calls, in whatever folder it keeps the compiled one."""
    say = "from noriai_engine.kernels import cache_folder; print(cache_folder('noriai_engine'))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", say], env=environment, capture_output=True, text=True, check=True)
    assert Path(ran.stdout.strip()).parent == tmp_path
    assert Path(ran.stdout.strip()).name.startswith("kernels-")
