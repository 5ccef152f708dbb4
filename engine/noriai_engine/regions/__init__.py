"""Region bundles: one folder with roads, people, places, feeds, provenance and licences of a region."""

from noriai_engine.regions.bundle import FORMAT_VERSION, Feed, Region, RegionError, Source, open_region
from noriai_engine.regions.people import PlaceOfInterest, Population, spread_population
from noriai_engine.regions.write import RegionDraft, write_region

__all__ = [
    "FORMAT_VERSION",
    "Feed",
    "PlaceOfInterest",
    "Population",
    "Region",
    "RegionDraft",
    "RegionError",
    "Source",
    "open_region",
    "spread_population",
    "write_region",
]
