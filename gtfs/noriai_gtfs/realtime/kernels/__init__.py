"""Kernels that put predictions into a day's times."""
