"""Drivers and vehicles shared between towns: lent for hours, with credentials, limits and areas that follow them."""
