"""Kernels of the road network: shortest paths and walks along them."""
