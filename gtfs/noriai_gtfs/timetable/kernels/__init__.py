"""Kernels that group trips and choose those of a day."""
