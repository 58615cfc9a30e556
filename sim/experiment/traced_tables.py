"""
The long tables of a traced run: written cell by cell, read in pieces.

    writes.parquet       one row per write(2) and fsync(2) of fio jobs; only if some write
    block.parquet        one row per event of the block queue
    bursts.parquet       one row per piece of work on a core
    burst_calls.parquet  one row per kind of work, stack and context
    windows.parquet      one row per read window
    gauges.parquet       one row per change of what is counted
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.config.traced import Columns, Words, length
from sim.errors import ConfigError
from sim.experiment.traced_columns import TRACED

PIECE_ROWS = 1 << 17
"""Rows of a row group: who reads one needs memory for no more."""


def write_traced(folder: Path, pairs: Sequence[tuple[Cell, CellResult]]) -> None:
    """Write the tables that any of these cells have."""
    for name, schema in TRACED.items():
        if not any(name in result.columns for _, result in pairs):
            continue
        with (
            (folder / f"{name}.parquet").open("wb") as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for cell, result in pairs:
                columns = result.columns.get(name, {})
                for first in range(0, length(columns), PIECE_ROWS):
                    writer.write_table(_piece(schema, cell, columns, first))


def _piece(schema: pa.Schema, cell: Cell, columns: Columns, first: int) -> pa.Table:
    """Return up to PIECE_ROWS rows of a cell's table."""
    rows = min(PIECE_ROWS, length(columns) - first)
    arrays: dict[str, pa.Array[Any]] = {
        "cell": pa.array(np.full(rows, cell.index), pa.int32()),
        "seed": pa.array(np.full(rows, cell.seed), pa.int64()),
    }
    for name, column in columns.items():
        if isinstance(column, Words):
            codes = np.asarray(column.codes[first : first + rows], np.int32)
            words = pa.DictionaryArray.from_arrays(codes, pa.array(column.names, pa.string()))
            arrays[name] = words.cast(pa.string())
        else:
            numbers = np.asarray(column[first : first + rows], np.int64)
            arrays[name] = pa.array(numbers).cast(schema.field(name).type)
    return pa.table([arrays[name] for name in schema.names], schema=schema)


def pieces(
    run: Path, name: str, cell: int, seed: int, columns: Sequence[str] = ()
) -> Iterator[dict[str, list[object]]]:
    """
    Yield the rows of one cell with one seed, in order, as columns of Python's values, PIECE_ROWS at most.

    columns: only these; all if there are none.

    Raises ConfigError if the run has no such table, or it cannot be read: it was made without --trace, or by
    another readpath.
    """
    path = run / f"{name}.parquet"
    if not path.is_file():
        raise ConfigError(str(run), f"has no {name}.parquet", "a run made with --trace, by this readpath")
    try:
        with path.open("rb") as file:
            table = pq.ParquetFile(file, pre_buffer=False)
            for number in range(table.num_row_groups):
                if not _may_have(table.metadata.row_group(number), cell, seed):
                    continue
                wanted = ["cell", "seed", *columns] if columns else None
                group = table.read_row_group(number, columns=wanted, use_threads=False)
                keys = group.column("cell").to_numpy(), group.column("seed").to_numpy()
                chosen = np.flatnonzero((keys[0] == cell) & (keys[1] == seed))
                if len(chosen):
                    found = group.take(chosen).drop_columns(["cell", "seed"])
                    for first in range(0, len(chosen), PIECE_ROWS):
                        yield found.slice(first, PIECE_ROWS).to_pydict()
    except (OSError, KeyError, pa.ArrowException) as error:
        problem = f"{name}.parquet cannot be read ({type(error).__name__})"
        raise ConfigError(str(run), problem, "what `readpath run --trace` made") from None


def _may_have(group: pq.RowGroupMetaData, cell: int, seed: int) -> bool:
    """Tell by its statistics whether a row group can have rows of a cell and seed."""
    for at, wanted in ((0, cell), (1, seed)):
        said = group.column(at).statistics
        least, most = (said.min, said.max) if said is not None else (None, None)
        if least is not None and most is not None and not least <= wanted <= most:
            return False
    return True


def rows(run: Path, name: str, cell: int, seed: int) -> Iterator[dict[str, object]]:
    """Yield the same row by row."""
    for piece in pieces(run, name, cell, seed):
        for values in zip(*piece.values(), strict=True):
            yield dict(zip(piece, values, strict=True))
