"""Regions at run time: dispatchers by service day, one task per region that owns them, and the log they rebuild from."""
