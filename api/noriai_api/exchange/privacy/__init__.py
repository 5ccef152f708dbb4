"""Statistics with proven privacy: differential privacy per rider and 28 days, over zones that public data fixed."""
