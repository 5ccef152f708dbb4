"""Virtual stops: junctions spread over a network, on its larger streets first, for riders to meet vehicles at."""

import numpy as np

from noriai_engine.model.places import Place
from noriai_engine.roads.access import STOPPABLE
from noriai_engine.roads.footways import NOT_ON_FOOT
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.speeds import ROAD_CLASSES

_BEST_FIRST = ("secondary", "tertiary", "unclassified", "primary", "residential", "living_street")


def virtual_stops(network: RoadNetwork, apart_m: int) -> tuple[Place, ...]:
    """Junctions of streets where one may stop and walk, no two closer than `apart_m` as the crow flies.

    Those on streets that lead somewhere come first, so that vehicles need not turn aside far; then by row.
    """
    from scipy.spatial import cKDTree

    rank = np.full(len(ROAD_CLASSES), len(_BEST_FIRST))
    for place, name in enumerate(_BEST_FIRST):
        rank[ROAD_CLASSES.index(name)] = place
    kind = network.street_class[network.arc_street]
    good = (network.street_flags[network.arc_street] & STOPPABLE) > 0
    good &= ~np.isin(kind, list(NOT_ON_FOOT))
    worth = np.full(network.node_count, len(_BEST_FIRST) + 1)
    for node in (network.arc_tail, network.arc_head):
        np.minimum.at(worth, node[good], rank[kind[good]])
    order = np.argsort(worth, kind="stable")
    order = order[worth[order] <= len(_BEST_FIRST)]
    middle = np.radians(float(np.mean(network.node_lat)))
    x, y = network.node_lon * 111_195 * np.cos(middle), network.node_lat * 111_195
    xy = np.column_stack([x, y])
    near = cKDTree(xy).query_ball_point(xy[order], apart_m)
    taken, stops = np.zeros(network.node_count, bool), []
    for node, others in zip(order.tolist(), near, strict=True):
        if not taken[others].any():
            taken[node] = True
            stops.append(Place(float(network.node_lon[node]), float(network.node_lat[node])))
    return tuple(stops)
