"""Journeys by line: Pareto sets of arrival and rides with their legs, over a window, to everywhere, by deadline."""

from noriai_gtfs.journeys.backward import ArriveBySearch
from noriai_gtfs.journeys.search import Journey, JourneySearch, Leg, SearchParams

__all__ = ["ArriveBySearch", "Journey", "JourneySearch", "Leg", "SearchParams"]
