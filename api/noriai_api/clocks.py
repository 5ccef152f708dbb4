"""The real clock: the one place of the service that reads it."""

import time

from noriai_engine.model.units import UtcMs


class SystemClock:
    """UTC milliseconds that never run backwards, however the system clock is set meanwhile."""

    def __init__(self) -> None:
        self._last = UtcMs(0)

    def now(self) -> UtcMs:
        self._last = UtcMs(max(self._last, time.time_ns() // 1_000_000))
        return self._last
