"""noriai gtfs: one file per group of commands."""
