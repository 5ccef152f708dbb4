"""Sub-commands of `noriai` for planners. Heavy imports stand inside the functions: `--help` loads none."""
