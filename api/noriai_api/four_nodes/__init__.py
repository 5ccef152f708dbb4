"""Four towns of one life area, each with a node of its own: they agree, share demand, and serve a day together."""
