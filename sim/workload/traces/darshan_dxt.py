"""
Darshan's extended traces as darshan-dxt-parser(1) prints them: every read of every rank, by file.

A block of lines with "# DXT," tells the file and its rank, a heading names the columns and the
unit of times, rows follow. Reads of MPI-IO reach the file as POSIX reads, which have rows of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sim.units import NS_PER_S
from sim.workload.traces.numbers import time_ns, whole
from sim.workload.traces.trace import Builder, OpenPath

MARK = "# DXT, file_id:"
_FILE = re.compile(r"# DXT, file_id: [0-9]+, file_name: (.*)")
_COLUMNS = ("Module", "Rank", "Wt/Rd", "Segment", "Offset", "Length", "Start(s)", "End(s)")


def read(lines: Sequence[str], builder: Builder) -> None:
    """Read the text of a DXT trace into `builder`; raise ConfigError that names the row which is none."""
    opened: OpenPath | None = None
    columns: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if text.startswith("#"):
            builder.used("comment")
            named = _FILE.fullmatch(text)
            if named is not None:
                opened, columns = builder.open(named[1]), []
            elif text.split()[1:2] == ["Module"]:
                columns = text.split()[1:]
            continue
        if opened is None or tuple(columns[: len(_COLUMNS)]) != _COLUMNS:
            said = "# DXT, file_id: ..., and a heading of " + " ".join(_COLUMNS)
            raise builder.refuse(number, "a row before its file and columns", said)
        _row(text, number, opened, builder)


def _row(text: str, number: int, opened: OpenPath, builder: Builder) -> None:
    words = text.split()
    offset, length = (whole(words[at]) if len(words) > at else None for at in (4, 5))
    start, end = (time_ns(words[at], NS_PER_S) if len(words) > at else None for at in (6, 7))
    if offset is None or length is None or start is None or end is None or words[2] not in ("read", "write"):
        raise builder.refuse(number, f"{text!r} is no row", " ".join(_COLUMNS))
    if words[0] != "X_POSIX":
        builder.skip(f"{words[0]}: its POSIX calls are replayed")
    elif words[2] == "write":
        builder.skip("write: only reads are replayed")
    else:
        builder.used("read")
        took = max(end - start, 0)
        builder.access(f"rank {words[1]}", opened, offset, length, at_ns=start, took_ns=took)
