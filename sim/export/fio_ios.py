"""
The I/Os of a traced cell's fio jobs, clone by clone, as fio would report them: without the ramp_time's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.experiment.traced_tables import pieces

READ, WRITE, SYNC = 0, 1, 3
"""fio's numbers of directions (DDIR_*); 2 is trim."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ios:
    """I/Os of one direction in order: start and latency in ns, offset and length in bytes."""

    start: Numbers
    latency: Numbers
    offset: Numbers
    length: Numbers

    def behind(self, start_ns: int) -> Ios:
        """Return those that began at a time or later."""
        kept = self.start >= start_ns
        return Ios(self.start[kept], self.latency[kept], self.offset[kept], self.length[kept])

    def joined(self, other: Ios) -> Ios:
        """Return these and others, in the order in which they began."""
        order = np.argsort(np.concatenate([self.start, other.start]), kind="stable")
        mine, theirs = self._columns(), other._columns()
        return Ios(*(np.concatenate(pair)[order] for pair in zip(mine, theirs, strict=True)))

    def _columns(self) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        return self.start, self.latency, self.offset, self.length


@dataclass(frozen=True, slots=True)
class Clone:
    """
    One clone of a job: its row of jobs.parquet, and its I/Os by direction. began_ns: when it, or what comes
    behind its ramp, began.
    """

    row: Row
    ios: dict[int, Ios]
    began_ns: int


def clones_of(run: Run, cell: int, seed: int) -> list[Clone]:
    """
    Return the clones of a cell's jobs, in order.

    Raises ConfigError if the cell has no fio jobs, or the run no trace.
    """
    rows = [row for row in run.jobs if (row["cell"], row["seed"], row["scope"]) == (cell, seed, "job")]
    if not rows:
        raise ConfigError(str(run.path), f"cell {cell} has no fio jobs", "a run of fio jobs")
    reads = _ios(run.path, "reads", cell, seed, len(rows), None)
    writes = syncs = [_EMPTY] * len(rows)
    if (run.path / "writes.parquet").is_file():
        writes = _ios(run.path, "writes", cell, seed, len(rows), True)
        syncs = _ios(run.path, "writes", cell, seed, len(rows), False)
    return [
        _without_ramp(row, {READ: reads[at], WRITE: writes[at], SYNC: syncs[at]})
        for at, row in enumerate(rows)
    ]


def _without_ramp(row: Row, ios: dict[int, Ios]) -> Clone:
    """Leave out the first I/Os: as many as there are more than the job's row counts."""
    starts = np.sort(np.concatenate([ios[READ].start, ios[WRITE].start]))
    ramp = len(starts) - int(row["reads"])
    began = int(starts[ramp]) if ramp < len(starts) else 0
    if not ramp:
        return Clone(row, ios, began)
    if ramp == len(starts):
        return Clone(row, dict.fromkeys(ios, _EMPTY), int(starts[-1]))
    return Clone(row, {ddir: found.behind(began) for ddir, found in ios.items()}, began)


_NONE = np.zeros(0, np.int64)
_EMPTY = Ios(_NONE, _NONE, _NONE, _NONE)


def _ios(run: Path, table: str, cell: int, seed: int, clones: int, writes: bool | None) -> list[Ios]:
    """Return the rows of a table by clone; writes: those that are, or are not; None: all."""
    found: list[list[Any]] = [[] for _ in range(clones)]
    for piece in pieces(run, table, cell, seed):
        columns: Any = piece
        numbers = [
            np.asarray(columns[name], np.int64) for name in ("start", "latency_ns", "offset", "length")
        ]
        reader = np.asarray(columns["reader"], np.int64)
        wanted = np.ones(len(reader), bool)
        if writes is not None:
            wanted = (np.asarray(columns["call"]) == "write") == writes
        for clone in np.unique(reader).tolist():
            chosen = wanted & (reader == clone)
            found[clone].append([column[chosen] for column in numbers])
    return [Ios(*map(np.concatenate, zip(*parts, strict=True))) if parts else _EMPTY for parts in found]
