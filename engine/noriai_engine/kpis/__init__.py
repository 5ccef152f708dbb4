"""KPIs: each a function of the run's records, with value, unit, denominator and definition."""

from noriai_engine.kpis.kpis import Kpi, compute_kpis
from noriai_engine.kpis.rides import Ride, rides_of

__all__ = ["Kpi", "Ride", "compute_kpis", "rides_of"]
