"""The timetable of a region's feeds: kept in its bundle, or made on the spot."""

from noriai_engine.regions import Region
from noriai_gtfs.feeds import read_feed
from noriai_gtfs.timetable.build import build_timetable
from noriai_gtfs.timetable.store import MARKER, TimetableError, open_timetable
from noriai_gtfs.timetable.timetable import Timetable
from noriai_gtfs.timetable.walking import BETWEEN_STOPS_M, walking_on

TIMETABLE = "timetable"
"""The folder of a bundle that holds it."""


def timetable_of(region: Region) -> Timetable:
    """The timetable of all feeds of a region. Raises TimetableError where it has none, FeedError or RowError where
    they cannot be searched."""
    folder = region.folder / TIMETABLE
    if (folder / MARKER).is_file():
        try:
            return open_timetable(folder)
        except TimetableError as error:
            raise TimetableError(error.what, where=error.where, remedy="build the region again with --gtfs") from error
    if not region.feeds:
        raise TimetableError(
            "the region holds no timetable", where=region.folder,
            remedy="build the region again with --gtfs, or give a feed or a timetable of noriai gtfs build",
        )  # fmt: skip
    paths = [region.folder / "gtfs" / feed.file for feed in region.feeds]
    feeds, names = [read_feed(path) for path in paths], [path.stem for path in paths]
    return build_timetable(feeds, names, walk_m=BETWEEN_STOPS_M, walking=walking_on(region.network))
