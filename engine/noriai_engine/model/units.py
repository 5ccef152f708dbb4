"""Units and identifiers. Times are integers; the unit stands in the type or the name.

`UtcMs` is an instant (milliseconds since 1970-01-01 UTC, int64); `DayMs` is the same instant counted from the
start of a service day (int32 inside kernels). Durations are plain integers named `..._ms`.
"""

from typing import Any, NewType

import numpy as np
import numpy.typing as npt

UtcMs = NewType("UtcMs", int)
DayMs = NewType("DayMs", int)

RequestId = NewType("RequestId", str)
VehicleId = NewType("VehicleId", str)
OperatorId = NewType("OperatorId", str)
BookingId = NewType("BookingId", str)

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
SmallArray = npt.NDArray[np.int16]
ByteArray = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]
RecordArray = np.recarray[Any, np.dtype[Any]]
"""Rows with named fields, each a number or a few."""
FloatArray = npt.NDArray[np.float64]
WeightArray = npt.NDArray[np.int32] | npt.NDArray[np.int64]
"""Weights of arcs: int32 ms, or int64 keys (ms << 32) + mm."""

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

FOREVER_MS = 1 << 29
"""No limit, and no path, in kernels: over 149 hours, and two of them still fit an int32."""
