"""GTFS Realtime in and out: the running timetable follows updates, our vehicles are published."""

from noriai_gtfs.realtime.apply import Applied, apply_updates
from noriai_gtfs.realtime.publish import VehicleReport, vehicle_positions

__all__ = ["Applied", "VehicleReport", "apply_updates", "vehicle_positions"]
