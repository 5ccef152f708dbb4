"""How a page of records is written: as JSON, or as a Parquet file with a column for each field.

A column whose values are all texts, whole numbers, numbers or booleans is of that type (null where a record says null,
or, if none does, where it does not have the field); any other is JSON text. The column's metadata says which, so that
what comes out is what went in.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

from noriai_api.exchange import catalogue
from noriai_engine.model.errors import InputError

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"


def media_type_of(way: str) -> str:
    return PARQUET if way == catalogue.PARQUET else JSON


def encoded(page: Mapping[str, Any], way: str) -> bytes:
    """A page (`records`, and what is said of them all) as it leaves by a way of transfer."""
    if way == catalogue.PARQUET:
        about = {name: value for name, value in page.items() if name != "records"}
        return parquet_of(page["records"], about)
    return json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()


def decoded(payload: bytes, way: str) -> dict[str, Any]:
    """A page as it was before `encoded`. Raises InputError."""
    try:
        if way == catalogue.PARQUET:
            return _from_parquet(payload)
        return dict(json.loads(payload))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"cannot be read: {error}"[:300], where="data", remedy="ask its sender") from error


def parquet_of(records: list[dict[str, Any]], about: Mapping[str, Any] | None = None) -> bytes:
    """Records as a Parquet file; `about` becomes its metadata."""
    import arro3.core as arrow
    import arro3.io

    types = {
        str: arrow.DataType.string(), int: arrow.DataType.int64(), float: arrow.DataType.float64(),
        bool: arrow.DataType.bool(),
    }  # fmt: skip
    names = list(dict.fromkeys(name for record in records for name in record))
    arrays, fields = [], []
    for name in names:
        said = [record[name] for record in records if name in record]
        kinds, has_null = {type(value) for value in said if value is not None}, any(value is None for value in said)
        plain = types.get(next(iter(kinds))) if len(kinds) == 1 else None
        how = "json" if plain is None or (has_null and len(said) < len(records)) else "null" if has_null else "plain"
        values = [record.get(name) for record in records]
        if plain is None or how == "json":
            plain, values = types[str], [json.dumps(record[name], ensure_ascii=False) if name in record else None
                                       for record in records]  # fmt: skip
        arrays.append(arrow.Array(values, type=plain))
        fields.append(arrow.Field(name, plain, nullable=True, metadata={"noriai": how}))
    metadata = {"noriai": json.dumps(dict(about or {}), ensure_ascii=False)}
    table = arrow.Table.from_arrays(arrays, schema=arrow.Schema(fields, metadata=metadata))
    out = io.BytesIO()
    arro3.io.write_parquet(table, out, compression="zstd(3)")
    return out.getvalue()


def _from_parquet(payload: bytes) -> dict[str, Any]:
    import arro3.io

    if payload[:4] != b"PAR1" or payload[-4:] != b"PAR1":
        raise ValueError("no Parquet file")
    try:
        table = arro3.io.read_parquet(io.BytesIO(payload)).read_all()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the Rust reader panics on a damaged footer
        raise ValueError(str(error)) from error
    about = json.loads(table.schema.metadata[b"noriai"])
    how = {name: table.schema.field(name).metadata.get(b"noriai") for name in table.schema.names}
    columns = {name: table.column(name).to_pylist() for name in how}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    records = [
        {name: json.loads(value) if how[name] == b"json" else value for name, value in row.items()
         if value is not None or how[name] == b"null"}
        for row in rows
    ]  # fmt: skip
    return {**about, "records": records}
