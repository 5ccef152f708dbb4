"""Ten million events of days on which everything happens, judged as they come: no promise broken untold, nobody lost.

`pytest -m long tests/engine/test_ten_million_events.py -n 2 --dist load` takes most of an hour on 2 cores.
"""

from __future__ import annotations

import pytest
from hard_days import a_hard_day

PARTS = 20
EVENTS = 10_000_000


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_ten_million_events_and_no_violation(part: int) -> None:
    seen, seed = 0, part
    while seen < EVENTS // PARTS:
        seen += len(a_hard_day(seed, 60, nearest=seed % 10 == 0).dispatcher.events)
        seed += PARTS
