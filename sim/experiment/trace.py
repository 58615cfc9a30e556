"""
The trace of a run, read: every bio's stages and every read(2)'s latency, as arrays.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sim.block.io_record import STAGES
from sim.errors import ConfigError

Numbers = npt.NDArray[np.int64]
Table = dict[str, Numbers]
"""Column of numbers -> one per row; names and units as in the Parquet schema (sim.experiment.columns)."""


@dataclass(frozen=True, slots=True)
class Trace:
    """io: a row per bio, or row of one-block bios. reads: a row per read(2). Both have `cell` and `seed`."""

    io: Table
    reads: Table

    def latencies_ns(self, cells: set[int]) -> Numbers:
        """Return the latency of every read(2) of some cells, all seeds, in ns, the shortest first."""
        return np.sort(self.reads["latency_ns"][np.isin(self.reads["cell"], list(cells))])

    def stages_ns(self, cells: set[int]) -> dict[str, float]:
        """
        Return stage -> mean ns over all sectors that some cells read from the device, all seeds.

        Every sector counts with the stages of the I/O that brought it, so that paths with large and small
        I/Os can be compared. The stages add up to the mean time from submit_bio() to the reader running on.
        Empty if there was no I/O.
        """
        chosen = np.isin(self.io["cell"], list(cells))
        sectors = self.io["sectors"][chosen]
        if not sectors.sum():
            return {}
        return {stage: float(np.average(self.io[stage][chosen], weights=sectors)) for stage in STAGES}


def has_trace(run: Path) -> bool:
    """Return whether the run in this directory was made with --trace."""
    return (run / "reads.parquet").is_file()


def load_trace(run: Path) -> Trace:
    """
    Return the trace of the run in a directory.

    Raises ConfigError if there is none, or if it is of another version of readpath.
    """
    try:
        io, reads = (_table(run / f"{name}.parquet") for name in ("io", "reads"))
    except (OSError, pa.ArrowException) as error:
        what = type(error).__name__
        raise ConfigError(str(run), f"has no trace ({what})", "a run made with --trace") from None
    missing = [stage for stage in STAGES if stage not in io]
    if missing:
        raise ConfigError(str(run), f"has a trace without {', '.join(missing)}", "one of this readpath")
    return Trace(io, reads)


def _table(path: Path) -> Table:
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no file", str(path))
    with path.open("rb") as file:
        table = pq.ParquetFile(file, pre_buffer=False).read(use_threads=False)
    numbers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    whole = {name: table.column(name) for name in numbers if not table.column(name).null_count}
    return {name: column.to_numpy().astype(np.int64, copy=False) for name, column in whole.items()}
