"""Our services in the standards that apps and authorities read, all from one model."""

from noriai_gtfs.publish.flex import HEADERS, FlexFeed, read_flex, write_flex
from noriai_gtfs.publish.service import PublishedService, flex_of

__all__ = ["HEADERS", "FlexFeed", "PublishedService", "flex_of", "read_flex", "write_flex"]
