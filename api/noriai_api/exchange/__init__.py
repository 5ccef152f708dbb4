"""Sharing between regions: catalogue, contracts, transfers, statistics with proven privacy. It needs no node."""
