"""Ids for what we create: UUIDv7 (RFC 9562, section 5.7) from a clock and a random source that are passed in."""

from uuid import UUID

import numpy as np

from noriai_engine.model.clock import Clock


class IdSource:
    """Makes UUIDv7 strings: 48 bits of the clock's milliseconds, then 74 random bits. Replays from its seed."""

    def __init__(self, clock: Clock, rng: np.random.Generator) -> None:
        self._clock, self._rng = clock, rng

    def new_id(self) -> str:
        rand_a = int(self._rng.integers(0, 1 << 12))
        rand_b = int(self._rng.integers(0, 1 << 62))
        value = (self._clock.now() & ((1 << 48) - 1)) << 80
        value |= 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
        return str(UUID(int=value))
