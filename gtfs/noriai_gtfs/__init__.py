"""GTFS feeds: for now what a region bundle keeps of them. Reading, merging and journeys come later."""

from noriai_gtfs.summary import FeedError, FeedSummary, summarise_feed

__all__ = ["FeedError", "FeedSummary", "summarise_feed"]
