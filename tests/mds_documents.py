"""Documents that an operator of its own dispatch reports by MDS, as it would write them."""

from __future__ import annotations

from typing import Any

MOMENT = 1_795_478_400_000
TRIP = "c2ee4e6d-6f5c-4b0b-8a53-6dbd14a4a6cb"


def an_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def a_vehicle(provider: str, device: str, vehicle: str = "taxi-1", **more: Any) -> dict[str, Any]:
    return {
        "device_id": device, "provider_id": provider, "vehicle_id": vehicle, "vehicle_type": "car",
        "propulsion_types": ["hybrid"], "vehicle_attributes": {"placard_number": "T-1"},
        "accessibility_attributes": ["wheelchair_accessible"], **more,
    }  # fmt: skip


def an_event(provider: str, device: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "device_id": device, "provider_id": provider, "event_id": an_id(number), "vehicle_state": "on_trip",
        "event_types": ["trip_start"], "timestamp": MOMENT + 1000 * number, "location": {"lat": 36.95, "lng": 137.55},
        "trip_ids": [TRIP], **more,
    }  # fmt: skip


def a_trip(provider: str, device: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "provider_id": provider, "device_id": device, "trip_id": an_id(number), "trip_type": ["reservation"],
        "trip_attributes": {"hail_type": "phone_dispatch", "passenger_count": 1, "requested_time": MOMENT,
                            "quoted_trip_start_time": MOMENT, "dispatch_time": MOMENT,
                            "wheelchair_transported": False},
        "fare_attributes": {"payment_type": "cash", "fare_type": "flat_rate"},
        "start_time": MOMENT, "end_time": MOMENT + 600_000, "start_location": {"lat": 36.95, "lng": 137.55},
        "end_location": {"lat": 36.96, "lng": 137.56}, "duration": 600, "distance": 2100, **more,
    }  # fmt: skip


def a_point(provider: str, device: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "device_id": device, "provider_id": provider, "telemetry_id": an_id(number), "timestamp": MOMENT + 1000 * number,
        "trip_ids": [TRIP], "journey_id": TRIP, "location": {"lat": 36.95, "lng": 137.55, "speed": 8.5, "heading": 90},
        **more,
    }  # fmt: skip


def a_stop(provider: str, stop: str, **more: Any) -> dict[str, Any]:
    return {
        "stop_id": stop, "provider_id": provider, "last_updated": MOMENT, "name": "泊駅",
        "location": {"lat": 36.95, "lng": 137.55}, "capacity": {"car": 2}, "num_vehicles_available": {"car": 1},
        "num_vehicles_disabled": {"car": 0},
        "status": {"is_installed": True, "is_renting": True, "is_returning": True}, **more,
    }  # fmt: skip
