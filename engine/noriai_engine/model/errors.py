"""Errors a person can act on: what is wrong, where, and what to do. The command line turns them into exit 2."""

from pathlib import Path


class NoriaiError(Exception):
    """Base of every error noriai raises on purpose."""


class InputError(NoriaiError, ValueError):
    """Something given from outside cannot be used. `where` names file or field, `remedy` what to do."""

    def __init__(self, what: str, *, where: str | Path | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, None if where is None else str(where), remedy
        text = what if self.where is None else f"{self.where}: {what}"
        super().__init__(text if remedy is None else f"{text}\n  remedy: {remedy}")


class RowError(InputError):
    """A row of a table cannot be used: file, row (1 = first line of the file) and column are named."""

    def __init__(self, what: str, *, file: str | Path, row: int, column: str, remedy: str) -> None:
        self.file, self.row, self.column = str(file), row, column
        super().__init__(what, where=f"{file}, row {row}, column {column}", remedy=remedy)


class MissingDataError(InputError, LookupError):
    """Something asked for by name is not there."""


class StaleOfferError(NoriaiError, RuntimeError):
    """An offer cannot be committed any more: the vehicle's plan has moved. Ask for a new quote."""


class StalePlanError(NoriaiError, RuntimeError):
    """A day has changed while its plan was searched for. Plan it anew."""
