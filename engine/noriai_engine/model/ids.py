"""Ids for what we create: UUIDv7 (RFC 9562, section 5.7) from a clock and a random source that are passed in."""

from typing import Any
from uuid import UUID

import numpy as np

from noriai_engine.model.clock import Clock


class IdSource:
    """Makes UUIDv7 strings: 48 bits of the clock's milliseconds, then 74 random bits. Replays from its seed."""

    def __init__(self, clock: Clock, rng: np.random.Generator) -> None:
        self._clock, self._rng = clock, rng

    @property
    def state(self) -> dict[str, Any]:
        """Of the random source: set it back, and the same ids come again."""
        return dict(self._rng.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def new_id(self) -> str:
        rand_a = int(self._rng.integers(0, 1 << 12))
        rand_b = int(self._rng.integers(0, 1 << 62))
        value = (self._clock.now() & ((1 << 48) - 1)) << 80
        value |= 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
        return str(UUID(int=value))
