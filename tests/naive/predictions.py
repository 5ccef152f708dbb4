"""Predicted times of a trip by the words of the GTFS Realtime reference: the plain twin of the retiming kernel."""

from __future__ import annotations


def predicted(
    times: list[tuple[int, int]], updates: dict[int, tuple[int | None, int | None] | None]
) -> list[tuple[int, int]]:
    """(arrival, departure) of each place; `updates` has delays of arrival and departure, None for NO_DATA."""
    if not updates:
        return times
    out: list[tuple[int, int]] = []
    delay = 0
    for place, (arrive, depart) in enumerate(times):
        if place < min(updates):
            out.append((arrive, depart))
            continue
        into, leave = arrive + delay, depart + delay
        if place in updates:
            update = updates[place]
            if update is None:
                delay, into, leave = 0, arrive, depart
            else:
                given_in, given_out = update
                if given_in is not None:
                    delay, into, leave = given_in, arrive + given_in, depart + given_in
                if given_out is not None:
                    delay, leave = given_out, depart + given_out
                if given_in is None:
                    into = min(into, leave)
        into = max(into, out[-1][1]) if out else into
        out.append((into, max(into, leave)))
    return out
