"""Vehicles: their plans, what their drivers report, where they are."""
