"""Day plans: the optimiser for pickup and delivery with everything a dial-a-ride service must keep."""

from noriai_engine.plans.aims import Aims
from noriai_engine.plans.certificate import certified, check_boundable
from noriai_engine.plans.documents import document_of, read_routes, text_of
from noriai_engine.plans.instances import read_instance
from noriai_engine.plans.params import SolveParams, annealing
from noriai_engine.plans.problem import Problem
from noriai_engine.plans.rehearsal import rehearse
from noriai_engine.plans.run import Solution
from noriai_engine.plans.seeds import best_of_seeds
from noriai_engine.plans.solver import StopSearch, solve

__all__ = [
    "Aims",
    "Problem",
    "Solution",
    "SolveParams",
    "StopSearch",
    "annealing",
    "best_of_seeds",
    "certified",
    "check_boundable",
    "document_of",
    "read_instance",
    "read_routes",
    "rehearse",
    "solve",
    "text_of",
]
