"""Distances and bearings on the mean sphere."""

import numpy as np

from noriai_engine.model.units import FloatArray

EARTH_RADIUS_M = 6_371_008.8


def haversine_m(lon_a: FloatArray, lat_a: FloatArray, lon_b: FloatArray, lat_b: FloatArray) -> FloatArray:
    """Great-circle distance in metres; inputs in degrees, any broadcastable shapes."""
    lon_a, lat_a, lon_b, lat_b = (np.radians(np.asarray(x, np.float64)) for x in (lon_a, lat_a, lon_b, lat_b))
    h = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    metres: FloatArray = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0)))
    return metres


def bounds_of(lon: FloatArray, lat: FloatArray) -> tuple[float, float, float, float]:
    """West, south, east, north of points, in degrees."""
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def bearing_deg(
    lon_a: FloatArray, lat_a: FloatArray, lon_b: FloatArray, lat_b: FloatArray, at_lat: FloatArray
) -> FloatArray:
    """Compass bearing from a to b in degrees, on the plane that touches the sphere at `at_lat`."""
    east = (np.asarray(lon_b) - np.asarray(lon_a)) * np.cos(np.radians(np.asarray(at_lat, np.float64)))
    north = np.asarray(lat_b, np.float64) - np.asarray(lat_a)
    degrees: FloatArray = np.degrees(np.arctan2(east, north))
    return degrees


def turn_angle_deg(arriving: FloatArray, leaving: FloatArray) -> FloatArray:
    """Angle of a turn in [-180, 180]: 0 straight on, positive to the right. A mirrored turn has exactly the other
    sign."""
    angle: FloatArray = np.asarray(leaving) - arriving
    return angle - 360.0 * np.rint(angle / 360.0)
