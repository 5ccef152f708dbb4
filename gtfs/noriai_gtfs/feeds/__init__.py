"""GTFS feeds in: archives, encodings and dialects become tables; every repair is logged with file, row and cell."""

from noriai_gtfs.feeds.archive import FeedError, ReadLimits
from noriai_gtfs.feeds.feed import Feed, read_feed
from noriai_gtfs.feeds.repairs import Repair
from noriai_gtfs.feeds.summary import FeedSummary, summarise_feed
from noriai_gtfs.feeds.table import Column, Table

__all__ = [
    "Column", "Feed", "FeedError", "FeedSummary", "ReadLimits", "Repair", "Table", "read_feed", "summarise_feed",
]  # fmt: skip
