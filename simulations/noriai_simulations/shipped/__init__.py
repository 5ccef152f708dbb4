"""The regions and scenarios that come with noriai."""

from pathlib import Path

REGIONS = ("coquimbo", "manhattan")
SCENARIOS = ("coquimbo-day", "manhattan-taxi")

_ROOT = Path(__file__).parent


def region_folder(name: str) -> Path:
    return _ROOT / "regions" / name


def scenario_file(name: str) -> Path:
    return _ROOT / "scenarios" / f"{name}.toml"
