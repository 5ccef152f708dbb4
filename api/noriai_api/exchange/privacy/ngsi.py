"""A release as NGSI-LD entities: CrowdFlowObserved of the Smart Data Models, in key-values form, one a figure."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from noriai_api.exchange.privacy.mesh import centres_of, size_of
from noriai_api.exchange.privacy.release import PERIOD_DAYS

CONTEXT = [
    "https://smart-data-models.github.io/dataModel.Transportation/context.jsonld",
    "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld",
]


def crowd_flows(release: Mapping[str, Any], provider: str) -> list[dict[str, Any]]:
    """People who travelled to a group of meshes from another in the period: the noisy count, its interval and what it
    cost stand beside it, so that nobody takes it for an exact one. `provider`: whose figures they are."""
    first = date.fromisoformat(release["period"].split("/")[0])
    last = first + timedelta(days=PERIOD_DAYS)
    return [
        {
            "@context": CONTEXT, "id": f"urn:ngsi-ld:CrowdFlowObserved:{release['release']}-{number}",
            "type": "CrowdFlowObserved", "dataProvider": provider,
            "dateObserved": f"{first}T00:00:00Z/{last}T00:00:00Z",
            "dateObservedFrom": f"{first}T00:00:00Z", "dateObservedTo": f"{last}T00:00:00Z",
            "peopleCount": figure["trips"], "location": _area(figure["destinations"]),
            "originLocation": _area(figure["origins"]), "peopleCountInterval": [figure["low"], figure["high"]],
            "epsilon": release["epsilon"],
        }
        for number, figure in enumerate(release["figures"])
    ]  # fmt: skip


def _area(meshes: list[int]) -> dict[str, Any]:
    """Meshes as a GeoJSON MultiPolygon, (lon, lat) WGS84."""
    codes = np.array(meshes, np.int64)
    lon, lat = centres_of(codes)
    wide, high = size_of(codes)
    squares = []
    for x, y in zip(lon.tolist(), lat.tolist(), strict=True):
        west, east, south, north = (round(v, 7) for v in (x - wide / 2, x + wide / 2, y - high / 2, y + high / 2))
        squares.append([[[west, south], [east, south], [east, north], [west, north], [west, south]]])
    return {"type": "MultiPolygon", "coordinates": squares}
