"""Kernels of the journey search."""
