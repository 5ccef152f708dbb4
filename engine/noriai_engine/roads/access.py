"""Which ways and nodes a profile may use, and in which direction: OSM tags to yes or no.

Access: https://wiki.openstreetmap.org/wiki/Key:access. One-way: Key:oneway. Barriers: Key:barrier.
Ferries: Tag:route=ferry, only where an access tag of the profile's own opens them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from noriai_engine.roads.profiles import Profile
from noriai_engine.roads.speeds import ROAD_CLASSES

STOPPABLE, STEP_FREE = 1, 2
"""Bits of `way_flags`."""

_ROUGH = frozenset(
    {"gravel", "ground", "dirt", "grass", "mud", "sand", "earth", "pebblestone", "cobblestone", "rock", "stone",
     "bad", "very_bad", "horrible", "very_horrible"}
)  # fmt: skip
_YES, _NO, _REVERSED = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0"}), frozenset({"-1", "reverse"})


def road_class(tags: Mapping[str, str]) -> str | None:
    """Class of a way (a value of `highway`, or ferry) as noriai knows it; None for what is no road at all."""
    highway = tags.get("highway")
    if highway in ROAD_CLASSES:
        return highway
    return "ferry" if tags.get("route") == "ferry" else None


def is_open(tags: Mapping[str, str], way: int, profile: Profile) -> bool:
    """True where the profile may use the way in some direction; access=destination counts as open."""
    kind = road_class(tags)
    if kind is None or (profile.only_ways is not None and way not in profile.only_ways):
        return False
    if not profile.is_walking and tags.get("area") == "yes":
        return False
    if tags.get("impassable") == "yes" or tags.get("smoothness") == "impassable":
        return False
    if tags.get("service") == "emergency_access":
        return False
    own = next((tags[key] for key in profile.access_keys if key not in ("access", "vehicle") and key in tags), None)
    if kind == "ferry":
        return profile.ferry_kmh > 0 and own in profile.opens
    if kind not in profile.classes:
        return own in profile.opens and not profile.is_walking
    return _access(tags, profile) not in profile.closed


def directions(tags: Mapping[str, str], profile: Profile) -> tuple[bool, bool]:
    """(forward, backward): which ways along an open OSM way the profile may go."""
    forward, backward = _directions_by_oneway(tags, profile)
    for key in profile.access_keys:
        if tags.get(f"{key}:forward") in profile.closed:
            forward = False
        if tags.get(f"{key}:backward") in profile.closed:
            backward = False
    return forward, backward


def _directions_by_oneway(tags: Mapping[str, str], profile: Profile) -> tuple[bool, bool]:
    oneway = next((tags[key] for key in profile.oneway_keys if key in tags), "")
    if oneway in _YES:
        return True, False
    if oneway in _REVERSED:
        return False, True
    if oneway in _NO or oneway == "alternating":
        return True, True
    if oneway == "reversible":  # its direction follows a timetable that the map does not hold
        return False, False
    implied = tags.get("junction") in ("roundabout", "circular") or tags.get("highway") == "motorway"
    return True, not (implied and profile.implied_oneway)


def _access(tags: Mapping[str, str], profile: Profile) -> str:
    return next((tags[key] for key in profile.access_keys if key in tags), "yes")


def way_flags(tags: Mapping[str, str]) -> int:
    """Bits for snapping: 1, one may stop there (no motorway, its ramps, tunnel or ferry); 2, a wheelchair user can
    get to and from the kerb (Key:wheelchair, Key:surface, Key:smoothness)."""
    kind = road_class(tags)
    stoppable = kind not in ("motorway", "motorway_link", "trunk_link", "ferry") and tags.get("tunnel") != "yes"
    rough = tags.get("wheelchair") == "no" or kind == "steps" or tags.get("surface") in _ROUGH
    return (STOPPABLE if stoppable else 0) | (0 if rough or tags.get("smoothness") in _ROUGH else STEP_FREE)


@dataclass(frozen=True, slots=True)
class NodeRule:
    """What a tagged node does to those who pass it: `blocked`, or a delay by direction along its way (ms)."""

    blocked: bool = False
    forward_ms: int = 0
    backward_ms: int = 0


def node_rule(tags: Mapping[str, str], profile: Profile) -> NodeRule | None:
    """Barriers, signals, stop and give-way signs (Tag:highway=traffic_signals, =stop, =give_way); None: no effect.

    `traffic_signals:direction` and `direction` limit a delay to one direction of the way.
    """
    blocked, delay = False, 0
    own = next((tags[key] for key in profile.access_keys if key in tags), None)
    if own is not None:
        blocked = own in profile.closed
    elif (barrier := tags.get("barrier")) is not None:
        blocked, delay = _barrier(tags, barrier, profile)
    sign = {
        "traffic_signals": profile.signal_ms, "stop": profile.stop_ms, "give_way": profile.give_way_ms,
    }.get(tags.get("highway", ""), 0)  # fmt: skip
    side = tags.get("traffic_signals:direction") or tags.get("direction")
    forward = delay + (0 if side == "backward" else sign)
    backward = delay + (0 if side == "forward" else sign)
    return NodeRule(blocked, forward, backward) if blocked or forward or backward else None


def _barrier(tags: Mapping[str, str], barrier: str, profile: Profile) -> tuple[bool, int]:
    if barrier in profile.barrier_ms:
        return False, profile.barrier_ms[barrier]
    passable = (
        tags.get("bollard") == "rising"
        or tags.get("kerb") in ("lowered", "flush")
        or (barrier == "kerb" and tags.get("highway") == "crossing")
    )
    return not passable, 0
