"""What a journey by line costs, where the feed says so."""

from noriai_gtfs.fares.fares import Fares, Price, fares_of

__all__ = ["Fares", "Price", "fares_of"]
