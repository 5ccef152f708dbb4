"""Kernels of the optimiser: schedules of routes, insertion, ruin and recreate."""
