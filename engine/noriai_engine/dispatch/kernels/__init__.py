"""Kernels of dispatch: search for the least-cost insertion, its schedule, and the upkeep of plans."""
