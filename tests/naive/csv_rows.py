"""Cells of a table by Python's csv module: the plain twin of the kernel that takes bytes apart."""

import csv
import io


def rows_of(text: str, delimiter: str = ",") -> tuple[list[str], list[list[str]]]:
    """Header and rows, blanks around cells off, short rows filled up, rows without any text left out."""
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    header = [name.strip() for name in lines[0]]
    rows = []
    for cells in lines[1:]:
        cells = [cell.strip(" \t") for cell in cells]
        if any(cells):
            rows.append((cells + [""] * len(header))[: len(header)])
    return header, rows
