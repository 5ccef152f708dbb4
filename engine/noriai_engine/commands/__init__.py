"""Sub-commands of `noriai` that belong to the engine."""
