"""The moving world: vehicles that carry out their plans, and made-up towns to move in."""
