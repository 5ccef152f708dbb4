"""A bell: news for whoever waits in this process."""

import asyncio
import contextlib


class Bell:
    """Rings for all who wait for it at that moment."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def heard(self, within_s: float) -> bool:
        """Wait for the bell, or until so much time is over; whether it rang."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):  # wait_for may lose a cancellation in Python 3.11
                await future
        self._waiting.discard(future)
        return future.done() and not future.cancelled()
