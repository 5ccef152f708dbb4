"""Several processes over one store: which of them dispatches a region, and how requests find it."""
