"""Profiles: what each kind of vehicle, and a walker, may use and what it costs them.

Turn costs follow the car profile of OSRM (BSD-2-Clause): a sigmoid of the angle, biased to the driving side, more
for a turn across oncoming traffic. https://wiki.openstreetmap.org/wiki/Key:access has the access hierarchy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from noriai_engine.model.errors import InputError

CAR_CLASSES = (
    "motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential", "living_street",
    "road", "service", "motorway_link", "trunk_link", "primary_link", "secondary_link", "tertiary_link",
)  # fmt: skip
WALK_CLASSES = (
    "primary", "secondary", "tertiary", "unclassified", "residential", "living_street", "road", "service",
    "primary_link", "secondary_link", "tertiary_link", "pedestrian", "footway", "path", "track", "cycleway", "steps",
)  # fmt: skip
CLOSED = frozenset(
    {"no", "private", "agricultural", "forestry", "delivery", "emergency", "military", "official", "restricted"}
)
PUBLIC_ONLY = frozenset({"psv", "bus", "taxi", "share_taxi", "minibus", "foot", "bicycle"})


_CAR_BARRIERS = {
    "cattle_grid": 0, "border_control": 0, "toll_booth": 0, "sally_port": 0, "no": 0, "entrance": 0,
    "height_restrictor": 0, "arch": 0, "gate": 60_000, "lift_gate": 60_000,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """Rules of one kind of traffic. Times in ms.

    - `access_keys`: from the most specific down; the first one present decides (Key:access).
    - `closed` values of them shut a way or a barrier; `oneway_keys` likewise from the most specific down.
    - `classes`: values of `highway` it may use; others only where an access key of its own says so (`opens`).
    - `excepted_by`: values of `except` on a turn restriction that free it (Relation:restriction).
    - `barrier_ms`: `barrier` values that let it pass, with the delay; all others stop it (Key:barrier).
    - `only_ways`: where set, the OSM ids of the only ways it may use: the domain a level-4 shuttle is approved for.
    """

    name: str
    access_keys: tuple[str, ...]
    classes: tuple[str, ...] = CAR_CLASSES
    closed: frozenset[str] = CLOSED | PUBLIC_ONLY
    opens: frozenset[str] = frozenset({"yes", "designated", "permissive"})
    oneway_keys: tuple[str, ...] = ("oneway:motorcar", "oneway:motor_vehicle", "oneway")
    implied_oneway: bool = True
    excepted_by: frozenset[str] = frozenset({"motorcar"})
    restricted: bool = True
    max_kmh: float = 130.0
    walking_kmh: float = 0.0
    turn_ms: int = 7_500
    turn_bias: float = 1.075
    oncoming_ms: int = 2_000
    u_turn_ms: int = 20_000
    signal_ms: int = 2_000
    stop_ms: int = 2_000
    give_way_ms: int = 1_000
    ferry_kmh: float = 5.0
    barrier_ms: Mapping[str, int] = field(default_factory=lambda: dict(_CAR_BARRIERS))
    only_ways: frozenset[int] | None = None

    @property
    def is_walking(self) -> bool:
        return self.walking_kmh > 0

    def limited_to(self, ways: frozenset[int]) -> "Profile":
        """The same profile on these OSM ways only. Raises InputError where none is given."""
        if not ways:
            raise InputError("names no way", where=f"profile {self.name}", remedy="list the OSM ids of approved ways")
        return replace(self, only_ways=ways)


_FOOT_BARRIERS = (
    "cattle_grid", "border_control", "toll_booth", "sally_port", "no", "entrance", "height_restrictor", "arch", "gate",
    "lift_gate", "bollard", "cycle_barrier", "stile", "turnstile", "kissing_gate", "kerb", "swing_gate", "chain",
    "block", "planter",
)  # fmt: skip
_WALKING = Profile(
    "walking", ("foot", "access"), WALK_CLASSES, CLOSED | {"psv", "bus", "taxi"}, oneway_keys=("oneway:foot",),
    implied_oneway=False, excepted_by=frozenset({"foot"}), restricted=False, walking_kmh=3.6, turn_ms=0,
    oncoming_ms=0, u_turn_ms=0, signal_ms=15_000, stop_ms=0, give_way_ms=0, ferry_kmh=0.0,
    barrier_ms=dict.fromkeys(_FOOT_BARRIERS, 0),
)  # fmt: skip

PROFILES: dict[str, Profile] = {
    # A taxi is public service: bus gates marked psv or taxi are open to it. It may enter access=destination.
    "taxi": Profile(
        "taxi", ("taxi", "psv", "motorcar", "motor_vehicle", "vehicle", "access"),
        closed=CLOSED | (PUBLIC_ONLY - {"psv", "taxi"}),
        oneway_keys=("oneway:taxi", "oneway:psv", "oneway:motor_vehicle", "oneway"),
        excepted_by=frozenset({"motorcar", "taxi", "psv"}),
    ),
    "volunteer": Profile("volunteer", ("motorcar", "motor_vehicle", "vehicle", "access")),
    "bus": Profile(
        "bus", ("bus", "psv", "motor_vehicle", "vehicle", "access"), (*CAR_CLASSES, "busway", "bus_guideway"),
        CLOSED | (PUBLIC_ONLY - {"psv", "bus", "minibus"}),
        oneway_keys=("oneway:bus", "oneway:psv", "oneway:motor_vehicle", "oneway"),
        excepted_by=frozenset({"bus", "psv"}), max_kmh=80.0,
    ),
    # Level 4: approved ways only, slow, and no ferries.
    "shuttle": Profile(
        "shuttle", ("bus", "psv", "motor_vehicle", "vehicle", "access"), (*CAR_CLASSES, "busway", "pedestrian"),
        CLOSED | (PUBLIC_ONLY - {"psv", "bus", "minibus"}),
        oneway_keys=("oneway:bus", "oneway:psv", "oneway:motor_vehicle", "oneway"),
        excepted_by=frozenset({"bus", "psv"}), max_kmh=20.0, ferry_kmh=0.0, only_ways=frozenset(),
    ),
    "walking": _WALKING,
}  # fmt: skip


def profile_named(name: str) -> Profile:
    """Raises InputError with the known names."""
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}", where="--profile", remedy=f"one of {', '.join(PROFILES)}")
    return PROFILES[name]
