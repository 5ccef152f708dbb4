"""A feed as arrays one can search: patterns of stops, trips with times, services with days."""

from noriai_gtfs.timetable.build import build_timetable
from noriai_gtfs.timetable.days import DayTimetable, day_timetable
from noriai_gtfs.timetable.store import open_timetable, save_timetable
from noriai_gtfs.timetable.timetable import Timetable

__all__ = ["DayTimetable", "Timetable", "build_timetable", "day_timetable", "open_timetable", "save_timetable"]
