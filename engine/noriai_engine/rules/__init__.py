"""Service and licence rules: what towns and permits say, as data."""
