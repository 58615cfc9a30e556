"""
Tables of accesses: CSV with named columns.

columns: what each column is: `offset` and `length` in bytes are needed, `file`, `process`, `op`, `time` and
`took` are not. A time has no unit of its own, so one must be stated. Without `file` all is one file; without
`process` one process; without `op` all are reads.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.errors import ConfigError
from sim.workload.traces.numbers import TIME_UNITS, time_ns, whole
from sim.workload.traces.trace import UNKNOWN, Builder, Kind, OpenPath

COLUMNS = ("offset", "length", "file", "process", "op", "time", "took")
_NEEDED = ("offset", "length")
_TIMES = ("time", "took")


@dataclass(frozen=True, slots=True)
class Table:
    """
    How a table is read.

    columns: of COLUMNS, the name of each in the table; those of the same name need not be said. time_unit:
    of TIME_UNITS. header: the names of the columns, for a table whose first line has none. kind: what it is
    a trace of.
    """

    columns: dict[str, str] = field(default_factory=dict)
    time_unit: str | None = None
    header: tuple[str, ...] = ()
    kind: Kind = "file"


def read(lines: Sequence[str], builder: Builder, table: Table) -> None:
    """Read a table into `builder`; raise ConfigError that names the line which is none."""
    builder.kind = table.kind
    rows = csv.reader(lines, skipinitialspace=True)
    header = list(table.header)
    if not header:
        header = [name.strip() for name in next(rows, [])]
        builder.used("header")
    at = _places(header, table, builder)
    unit_ns = TIME_UNITS.get(table.time_unit or "")
    opened: dict[tuple[str, str], OpenPath] = {}
    for row in rows:
        if not any(word.strip() for word in row):
            continue
        if len(row) != len(header):
            raise builder.refuse(rows.line_num, f"{len(row)} values", f"{len(header)}, as many as columns")
        said = {name: row[place].strip() for name, place in at.items()}
        op = said.get("op", "read")
        write = op[:1] in ("w", "W")
        if (write and table.kind == "file") or op[:1] not in ("r", "R", "w", "W"):
            builder.skip("write: only reads are replayed" if write else f"op {op}: no read or write")
            continue
        offset, length = (_number(whole(said[name]), name, said, rows.line_num, builder) for name in _NEEDED)
        moment, took = (
            _number(time_ns(said[name], unit_ns), name, said, rows.line_num, builder)
            if name in said and unit_ns is not None
            else UNKNOWN
            for name in _TIMES
        )
        builder.used("write" if write else "read")
        who, path = said.get("process", "process"), said.get("file", "file")
        if (who, path) not in opened:
            opened[who, path] = builder.open(path)
        builder.access(who, opened[who, path], offset, length, at_ns=moment, took_ns=took, write=write)


def _places(header: list[str], table: Table, builder: Builder) -> dict[str, int]:
    """Return which column is what."""
    for name, column in table.columns.items():
        if column not in header:
            raise ConfigError(f"{builder.place}:1", f"no column {column!r} for {name}", ", ".join(header))
    names = {name: table.columns.get(name, name) for name in COLUMNS}
    at = {name: header.index(column) for name, column in names.items() if column in header}
    for name in _NEEDED:
        if name not in at:
            allowed = f'columns = {{ {name} = "..." }}, one of {", ".join(header)}'
            raise ConfigError(f"{builder.place}:1", f"no column {name}", allowed)
    if table.time_unit is None and any(name in at for name in _TIMES):
        timed = next(header[at[name]] for name in _TIMES if name in at)
        allowed = f"time_unit, one of {', '.join(TIME_UNITS)}"
        raise ConfigError(f"{builder.place}:1", f"column {timed!r} is a time without a unit", allowed)
    if "took" in at and "time" not in at:
        raise ConfigError(f"{builder.place}:1", "took without time", "both, or neither")
    return at


def _number(value: int | None, name: str, said: dict[str, str], line: int, builder: Builder) -> int:
    if value is None:
        raise builder.refuse(line, f"{name} {said[name]!r}", "a number >= 0")
    return value
