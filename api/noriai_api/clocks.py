"""The real clock: the one place of the service that reads it; and when to try again what has failed."""

import time

from noriai_engine.model.units import UtcMs


class SystemClock:
    """UTC milliseconds that never run backwards, however the system clock is set meanwhile."""

    def __init__(self) -> None:
        self._last = UtcMs(0)

    def now(self) -> UtcMs:
        self._last = UtcMs(max(self._last, time.time_ns() // 1_000_000))
        return self._last


def after_pause(now: int, tries: int, first_ms: int, longest_ms: int) -> int:
    """When to try again what has failed so often: pauses double up to the longest."""
    pause: int = min(longest_ms, first_ms * 2 ** min(tries, 20))
    return now + pause
