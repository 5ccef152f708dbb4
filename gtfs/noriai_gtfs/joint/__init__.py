"""Rides and lines together: journeys in which the fleet's plans price the first and the last mile."""

from noriai_gtfs.joint.corridors import Corridor
from noriai_gtfs.joint.offers import JointOffer, RideLeg
from noriai_gtfs.joint.search import JointParams, JointSearch, Traveller
from noriai_gtfs.joint.transfers import Transfer, transfers_of

__all__ = [
    "Corridor", "JointOffer", "JointParams", "JointSearch", "RideLeg", "Transfer", "Traveller", "transfers_of",
]  # fmt: skip
