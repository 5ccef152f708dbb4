"""Kernels that take the bytes of a table apart."""
