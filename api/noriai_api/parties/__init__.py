"""Parties: operators with their vehicles and drivers, riders by token, and who they are kept apart from it."""
