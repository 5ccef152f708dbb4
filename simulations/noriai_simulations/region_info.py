"""A region bundle in words and as facts."""

from dataclasses import asdict
from typing import Any

import numpy as np

from noriai_engine.regions import Region
from noriai_engine.roads.access import STEP_FREE
from noriai_engine.roads.footways import Footways
from noriai_engine.roads.speeds import ROAD_CLASSES


def region_facts(region: Region) -> dict[str, Any]:
    network = region.network
    km = np.bincount(network.arc_class, weights=np.asarray(network.arc_mm, np.float64) / 1e6)
    speed = float(network.arc_mm.sum(dtype=np.int64)) / float(network.arc_ms.sum(dtype=np.int64)) * 3.6
    kinds = sorted({place.kind for place in region.places})
    return {
        "name": region.name,
        "title": region.title,
        "country": region.country,
        "timezone": region.timezone,
        "driving_side": region.driving_side,
        "checksum": region.checksum,
        "bounds": [round(x, 5) for x in network.bounds],
        "profile": region.profile,
        "junctions": network.node_count,
        "streets": network.street_count,
        "arcs": network.arc_count,
        "turns": network.turn_count,
        "restricted_turns": network.state_count - network.arc_count,
        "conditions": list(network.conditions[1:]),
        "arc_km": round(network.length_km, 1),
        "mean_kmh": round(speed, 1),
        "arc_km_by_class": {ROAD_CLASSES[k]: round(float(x), 1) for k, x in enumerate(km) if x > 0},
        "walk_km": round(network.foot.length_km, 1) if network.foot else None,
        "walk_km_with_steps": round(_with_steps_km(network.foot), 1) if network.foot else None,
        "people": round(region.population.total) if region.population else None,
        "places": {kind: sum(p.kind == kind for p in region.places) for kind in kinds},
        "stops": len(region.stops),
        "feeds": [asdict(feed) for feed in region.feeds],
        "sources": [asdict(source) for source in region.sources],
        "notes": list(region.notes),
    }


def _with_steps_km(ways: Footways) -> float:
    return float(ways.street_mm[(ways.street_flags & STEP_FREE) == 0].sum(dtype=np.int64)) / 1e6


def region_text(region: Region, facts: dict[str, Any]) -> str:
    west, south, east, north = facts["bounds"]
    lines = [
        f"{facts['title']}  ({facts['name']}, {facts['country']}, {facts['timezone']}, drives on the "
        f"{facts['driving_side']})",
        f"  lies     {west} to {east} east, {south} to {north} north",
        f"  roads    {facts['junctions']:,} junctions, {facts['streets']:,} streets, {facts['turns']:,} turns for the "
        f"profile {facts['profile']}; {facts['arc_km']:,} km (both directions counted), "
        f"{facts['mean_kmh']} km/h on average",
        "           " + ", ".join(f"{name} {km:,} km" for name, km in facts["arc_km_by_class"].items()),
    ]
    if facts["walk_km"] is not None:
        lines.append(
            f"  on foot  {facts['walk_km']:,} km of ways, {facts['walk_km_with_steps']:,} km of them not step-free"
        )
    people = "unknown" if facts["people"] is None else f"{facts['people']:,}"
    places = ", ".join(f"{n} {kind}" for kind, n in facts["places"].items()) or "none"
    lines += [f"  people   {people}", f"  places   {places}"]
    for feed in region.feeds:
        lines.append(
            f"  feed     {feed.file}: {', '.join(feed.agencies)}; {feed.routes:,} routes, {feed.trips:,} trips, "
            f"{feed.stops:,} stops, {feed.stop_times:,} stop times; valid {feed.valid_from or 'never'} to "
            f"{feed.valid_to or 'never'}"
        )
    lines += [f"  source   {s.what}: {s.name} ({s.date}), {s.licence}, sha256 {s.sha256[:12]}" for s in region.sources]
    lines += [f"  note     {note}" for note in region.notes]
    lines += [f"  map line {region.attribution}", f"  checksum {region.checksum}"]
    return "\n".join(lines)
