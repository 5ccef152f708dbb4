"""An OSM extract to a road network, or to ways on foot, in one call."""

from pathlib import Path

from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.footways import Footways, footways_of
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.osm import read_osm
from noriai_engine.roads.profiles import Profile, profile_named
from noriai_engine.roads.speeds import LEFT_HAND_COUNTRIES, speed_table
from noriai_engine.roads.streets import trace_streets


def read_roads(
    extract: str | Path, profile: str | Profile = "taxi", *, country: str = "", speeds: Path | None = None
) -> RoadNetwork:
    """The network of an OSM extract (.osm.pbf, .osm, .osm.gz) for a profile.

    >>> times = TravelTimes(read_roads("town.osm.pbf", country="JP"))
    >>> times.matrix([(139.41, 35.70), (139.42, 35.71)])

    `country` (ISO 3166) decides the speed table and the side of the road; `speeds` is a CSV of your own. Raises
    InputError where the file cannot be read or holds no road for the profile.
    """
    chosen = profile_named(profile) if isinstance(profile, str) else profile
    found = read_osm(Path(extract), chosen, lambda lon, lat: country, lambda code: speed_table(code, speeds))
    return assemble(trace_streets(found), chosen, left_hand=country.upper() in LEFT_HAND_COUNTRIES)[0]


def read_footways(extract: str | Path, *, country: str = "") -> Footways:
    """The ways on foot of an OSM extract, to stand beside a network: `replace(network, foot=read_footways(file))`.

    Raises InputError where the file cannot be read or holds no way on foot.
    """
    walking = profile_named("walking")
    found = read_osm(Path(extract), walking, lambda lon, lat: country, speed_table)
    return footways_of(trace_streets(found))[0]
