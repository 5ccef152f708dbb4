"""Roads: OSM in, a drivable network out, exact travel times on it."""

from noriai_engine.roads.network import RoadNetwork, haversine_m
from noriai_engine.roads.travel_times import RowCacheParams, TravelTimes

__all__ = ["RoadNetwork", "RowCacheParams", "TravelTimes", "haversine_m"]
