"""The timetable: everything a journey search needs of one or several feeds, in arrays that memory-map."""

from dataclasses import dataclass, fields
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import MissingDataError
from noriai_gtfs.services import day_number
from noriai_gtfs.timetable.strings import StringArray

IntArray = npt.NDArray[np.int32]
ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

NO_BOARDING, NO_ALIGHTING, PHONE_TO_BOARD, PHONE_TO_ALIGHT, ASK_TO_BOARD, ASK_TO_ALIGHT = 1, 2, 4, 8, 16, 32
UNKNOWN, POSSIBLE, NOT_POSSIBLE = 0, 1, 2


@dataclass(frozen=True)
class Timetable:
    """Stops, sequences of stops, trips with times in ms from the service day's start, services with their days.

    A sequence is what trips with the same stops and the same rules of boarding share. `trip_first[t]` to
    `trip_first[t + 1]` are the rows of a trip in `stop_sequence` (the feed's numbers), `arrive_ms` and `depart_ms`;
    `sequence_first` likewise in
    `sequence_stop` and `sequence_rule` (bits NO_BOARDING ... ASK_TO_ALIGHT). `wheelchair` fields hold UNKNOWN, POSSIBLE
    or NOT_POSSIBLE. Footpaths are edges from stop to stop; `footpath_steps` is 1 where they need stairs.
    `stop_change_ms` is the time to change at a stop where the feed says so, else -1. `trip_block` numbers blocks, -1
    for none; links are rows of transfers.txt of kind 4 (riders may stay aboard from one trip into the other) or 5
    (they may not).
    """

    stop_id: StringArray
    stop_name: StringArray
    stop_kana: StringArray
    stop_lon: FloatArray
    stop_lat: FloatArray
    stop_parent: IntArray
    stop_wheelchair: ByteArray
    stop_change_ms: IntArray
    stop_zone: StringArray
    route_id: StringArray
    route_name: StringArray
    route_type: IntArray
    route_agency: StringArray
    service_id: StringArray
    service_runs: npt.NDArray[np.bool_]
    first_day: npt.NDArray[np.int32]
    sequence_first: IntArray
    sequence_stop: IntArray
    sequence_rule: ByteArray
    trip_id: StringArray
    trip_headsign: StringArray
    trip_route: IntArray
    trip_service: IntArray
    trip_sequence: IntArray
    trip_wheelchair: ByteArray
    trip_block: IntArray
    trip_first: npt.NDArray[np.int64]
    stop_sequence: IntArray
    arrive_ms: IntArray
    depart_ms: IntArray
    link_from: IntArray
    link_to: IntArray
    link_kind: ByteArray
    footpath_from: IntArray
    footpath_to: IntArray
    footpath_ms: IntArray
    footpath_steps: ByteArray
    timezone: StringArray

    @property
    def trips(self) -> int:
        return self.trip_route.size

    @property
    def stops(self) -> int:
        return self.stop_lon.size

    @property
    def days(self) -> tuple[date, date]:
        """First and last day of which services are known."""
        first = date(1970, 1, 1) + timedelta(days=int(self.first_day[0]))
        return first, first + timedelta(days=self.service_runs.shape[1] - 1)

    def runs_on(self, day: date) -> npt.NDArray[np.bool_]:
        """(services,) whether each runs on a day; nothing runs outside the calendar."""
        column = day_number(day) - int(self.first_day[0])
        if not 0 <= column < self.service_runs.shape[1]:
            return np.zeros(len(self.service_id), bool)
        return np.asarray(self.service_runs[:, column])

    def stop_row(self, stop_id: str) -> int:
        """Row of a stop. Raises MissingDataError where there is none."""
        row = self.stop_id.row_of.get(stop_id)
        if row is None:
            raise MissingDataError(f"there is no stop {stop_id!r}", where="timetable", remedy="see noriai gtfs info")
        return row


ARRAYS = tuple(field.name for field in fields(Timetable) if field.type is not StringArray)
TEXTS = tuple(field.name for field in fields(Timetable) if field.type is StringArray)
