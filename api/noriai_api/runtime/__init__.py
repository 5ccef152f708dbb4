"""Regions at run time: dispatchers by service day, a task per region that owns them, the log they rebuild from."""
