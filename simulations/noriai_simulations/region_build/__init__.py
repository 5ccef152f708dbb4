"""Build region bundles from open data: OSM extracts, GTFS feeds, population tables, and two pinned wheels."""
