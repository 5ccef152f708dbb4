"""Tables in and out: CSV, Excel and Parquet in, Parquet and CSV out, and folders that appear whole or not at all."""

from noriai_engine.tables.files import replace_file
from noriai_engine.tables.folders import replace_folder
from noriai_engine.tables.read import Row, Table, read_table
from noriai_engine.tables.write import Column, write_csv, write_parquet

__all__ = ["Column", "Row", "Table", "read_table", "replace_file", "replace_folder", "write_csv", "write_parquet"]
