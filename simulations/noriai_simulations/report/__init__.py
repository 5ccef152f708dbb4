"""The HTML report of a run and the printable run sheets: one self-contained file each."""

from noriai_simulations.report.report import write_report
from noriai_simulations.report.run_sheets import write_run_sheets

__all__ = ["write_report", "write_run_sheets"]
