"""Voids: places and hours out of reach by line, and what on-demand service would change."""

from noriai_gtfs.voids.mesh import Cells, hex_cells, hex_resolution, jis_codes, jis_corners, mesh_cells
from noriai_gtfs.voids.voids import VoidParams, Voids, find_voids

__all__ = [
    "Cells", "VoidParams", "Voids", "find_voids", "hex_cells", "hex_resolution", "jis_codes", "jis_corners",
    "mesh_cells",
]  # fmt: skip
