"""Is a feed right? The canonical rules judged on the raw bytes, Japan's rules and service practice beside them."""

from noriai_gtfs.validation.notices import Notice
from noriai_gtfs.validation.validate import Report, validate

__all__ = ["Notice", "Report", "validate"]
