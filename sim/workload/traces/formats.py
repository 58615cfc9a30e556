"""
The formats of traces there are, and how one is told from its first lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sim.errors import ConfigError
from sim.workload.traces import blkparse, csv_table, darshan_dxt, fio_iolog, strace
from sim.workload.traces.csv_table import Table
from sim.workload.traces.trace import Builder, Trace

READERS: dict[str, Callable[[Sequence[str], Builder], None]] = {
    "fio-iolog": fio_iolog.read,
    "blkparse": blkparse.read,
    "darshan-dxt": darshan_dxt.read,
    "strace": strace.read,
}

FORMATS = (*READERS, "csv")

_FIRST_LINES = 200


def read_trace(text: str, place: str, form: str | None = None, table: Table | None = None) -> Trace:
    """
    Return the trace that a text is.

    place: the file, for errors. form: one of FORMATS; None: told from its first lines. table: how a CSV is
    read. Raises ConfigError for a text of another format, or without an access.
    """
    lines = text.splitlines()
    name = form or _told_by(lines, place)
    if table is not None and name != "csv":
        raise ConfigError(place, f"columns of a trace of format {name}", "format csv")
    builder = Builder(place, name)
    if name == "csv":
        csv_table.read(lines, builder, table or Table())
    else:
        if name == "fio-iolog" and (not lines or lines[0].strip() not in fio_iolog.HEADERS):
            allowed = " or ".join(fio_iolog.HEADERS)
            raise ConfigError(f"{place}:1", f"{(lines or [''])[0][:40]!r} is no header", allowed)
        READERS[name](lines, builder)
    return builder.trace()


def _told_by(lines: Sequence[str], place: str) -> str:
    first = lines[:_FIRST_LINES]
    if first and first[0].strip() in fio_iolog.HEADERS:
        return "fio-iolog"
    if place.lower().endswith(".csv"):
        return "csv"
    if any(line.startswith(darshan_dxt.MARK) for line in first):
        return "darshan-dxt"
    if any(blkparse.EVENT.fullmatch(line) for line in first):
        return "blkparse"
    if any(strace.HEAD.fullmatch(line) or strace.WITHOUT_DATE.match(line) for line in first):
        return "strace"
    raise ConfigError(place, "its format is not known by its first lines", f"--format {'|'.join(FORMATS)}")
