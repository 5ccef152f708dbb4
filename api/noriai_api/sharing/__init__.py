"""The node's own side of the exchange: its participants, and what its people do there over HTTP."""
