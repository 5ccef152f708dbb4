"""Roads: OSM in, a turn-aware network out, exact travel times on it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from noriai_engine.roads.drives import Drive
from noriai_engine.roads.geodesy import haversine_m
from noriai_engine.roads.network import RoadNetwork

if TYPE_CHECKING:
    from noriai_engine.roads.oracle import Oracle
    from noriai_engine.roads.plain import PlainNetwork
    from noriai_engine.roads.read import read_roads
    from noriai_engine.roads.travel_times import TravelTimes

__all__ = ["Drive", "Oracle", "PlainNetwork", "RoadNetwork", "TravelTimes", "haversine_m", "read_roads"]

_MODULES = {"Oracle": "oracle", "PlainNetwork": "plain", "TravelTimes": "travel_times", "read_roads": "read"}


def __getattr__(name: str) -> Any:
    """What brings numba with it is imported when it is first asked for."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
