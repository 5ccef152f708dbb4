"""The independent checker: proves that a finished run breaks no constraint, from its files alone.

It shares no code with what it judges (import-linter forbids it), is written from docs/run-folder.md and
docs/service-rules.md, and recomputes travel times with scipy's Dijkstra.
"""

from noriai_engine.checker.check import CheckError, check_run
from noriai_engine.checker.plans import check_plan
from noriai_engine.checker.report import Breach, CheckReport

__all__ = ["Breach", "CheckError", "CheckReport", "check_plan", "check_run"]
