"""
The traces that a cell replays, and which file of the volume each of their files is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sim.config.cell import Cell
from sim.config.workload import Replay
from sim.documents import read_bytes
from sim.errors import ConfigError
from sim.ext4.read.reader import Image
from sim.workload.traces.csv_table import Table
from sim.workload.traces.formats import read_trace
from sim.workload.traces.trace import Trace, joined

_MOST_NAME_BYTES = 255


def read_traces(paths: Iterable[Path], form: str | None = None, table: Table | None = None) -> Trace:
    """Return the trace of some files; several become one. form, table: see read_trace()."""
    return joined(
        read_trace(read_bytes(path, str(path), "").decode(errors="backslashreplace"), str(path), form, table)
        for path in paths
    )


def trace_of(cell: Cell, said: Replay) -> Trace:
    """Return the trace that a cell replays."""
    return read_traces([cell.file(ref) for ref in said.files], said.format, said.table)


def name_in_root(path: str) -> str:
    """
    Return what a file of a trace is called in a volume that is made for it: "/usr/lib/x" is "usr:lib:x".

    A name that is too long ends with the digest of all of it.
    """
    name = path.strip("/").replace("/", ":").replace("\0", ":") or ":"
    if len(name.encode(errors="surrogateescape")) > _MOST_NAME_BYTES:
        name = f"{name[:60]}:{hashlib.sha256(path.encode()).hexdigest()}"
    return name


def names_of(cell: Cell, volume: Image, trace: Trace) -> dict[str, str]:
    """
    Return the path in the volume of each file of a trace; raise ConfigError for one that is not there.

    In a given image a file has the trace's own path; in a made one it is called `name_in_root`.
    """
    made = {f"/{file.name}" for file in cell.config.volume.all_files}
    found: dict[str, str] = {}
    for path, size in trace.files.items():
        name = f"/{name_in_root(path)}" if made else f"/{path.lstrip('/')}"
        if name not in made and not volume.is_file(name):
            raise ConfigError("volume", f"no file {name} for {path} of the trace", "each file of the trace")
        if volume.lookup(name).size_bytes < size:
            has = f"{name} has {volume.lookup(name).size_bytes} bytes, {size} are read in the trace"
            raise ConfigError("volume", has, f"{size} bytes or more")
        found[path] = name
    return found
