"""
The trace of an experiment: its files hashed, and in an empty volume the files that it reads.
"""

from __future__ import annotations

from pydantic import ValidationError

from sim.config.workload import Replay
from sim.errors import ConfigError
from sim.experiment.beside import Beside
from sim.experiment.empty_volume import empty_volume
from sim.experiment.matrix import Raw
from sim.units import PAGE_BYTES
from sim.volume.traces import name_in_root
from sim.workload.traces.trace import Trace


def put_replay(raw: Raw, beside: Beside) -> None:
    """
    Put FileRefs where `raw` names traces, and the files that they read into a volume that has none.

    Mistakes in the table are told when all is validated; raises ConfigError for a trace that is none.
    """
    workload = raw.get("workload")
    table = workload.get("replay") if isinstance(workload, dict) else None
    if not isinstance(table, dict) or "file" not in table:
        return
    names = table["file"] if isinstance(table["file"], list) else [table["file"]]
    if not names or not all(isinstance(name, str) for name in names):
        return
    place = f"{beside.path}: workload.replay.file"
    table["file"] = [beside.reference(place, name) for name in names]
    try:
        said = Replay.model_validate(table)
    except ValidationError:  # told, with its place, when all is validated
        _lay_out(raw, None, f"{beside.path}: volume")
        return
    trace = beside.trace(said)
    if trace.kind == "block" and raw.get("data", "real") != "off":
        raise ConfigError(
            f"{beside.path}: data", '"real" with the trace of a block device, which has none', '"off"'
        )
    _lay_out(raw, trace, f"{beside.path}: volume")


def _lay_out(raw: Raw, trace: Trace | None, place: str) -> None:
    """Put a trace's files into a volume that is made and has none; one unused where no file is read."""
    volume = empty_volume(raw, place, "the trace")
    if volume is None:
        return
    if trace is None or trace.kind == "block":
        volume.raw["files"] = [{"name": "unused", "size": PAGE_BYTES}]
        return
    volume.fill([{"name": name_in_root(path), "size": max(size, 1)} for path, size in trace.files.items()])
