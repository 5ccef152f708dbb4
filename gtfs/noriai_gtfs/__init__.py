"""GTFS feeds in and out: reading, validation, timetables, and journeys that join rides with lines."""

from noriai_gtfs.feeds import Feed, FeedError, FeedSummary, read_feed, summarise_feed

__all__ = ["Feed", "FeedError", "FeedSummary", "read_feed", "summarise_feed"]
