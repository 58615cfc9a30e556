"""
The forms that a run can be exported in: for each, what it needs and what writes the files of a cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.config.cell_result import Currency
from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.experiment.trace import has_trace
from sim.export.blkparse import blkparse_lines
from sim.export.blktrace import write_blktrace
from sim.export.block_events import block_events
from sim.export.collapsed import collapsed_lines
from sim.export.fio_json import fio_document
from sim.export.fio_logs import write_fio_logs
from sim.export.perfetto import ALWAYS, perfetto_packets


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What is to be exported: one cell of a run with one seed. name: of its files, without an ending.

    currency: of stacks. between: [ns, ns) of a trace that is shown on a time line.
    """

    run: Run
    cell: int
    seed: int
    name: str
    currency: Currency = "ns"
    between: tuple[int, int] = ALWAYS


Write = Callable[[Wanted, Path], list[Path]]
"""Writes the files of a cell into a folder and returns them."""


@dataclass(frozen=True, slots=True)
class Format:
    """traced: it needs a run made with --trace. about: what it is, in a few words."""

    write: Write
    traced: bool
    about: str


def _fio(plus: bool) -> Write:
    def write(wanted: Wanted, folder: Path) -> list[Path]:
        document = fio_document(wanted.run, wanted.cell, wanted.seed, plus)
        text = json.dumps(document, indent=2, separators=(",", " : "), ensure_ascii=False)
        return [_text(folder / f"{wanted.name}.json", [text])]

    return write


def _fio_logs(wanted: Wanted, folder: Path) -> list[Path]:
    return write_fio_logs(wanted.run, wanted.cell, wanted.seed, folder, wanted.name)


def _config(wanted: Wanted) -> dict[str, Any]:
    said = next(cell for cell in wanted.run.manifest["cells"] if cell["cell"] == wanted.cell)
    config: dict[str, Any] = said["config"]
    return config


def _check_requests(wanted: Wanted) -> None:
    """Raise ConfigError for a cell whose device refuses requests: a completion would have to say which."""
    if (_config(wanted).get("faults") or {}).get("kind") == "sector_error":
        place = f"{wanted.run.path}: cell {wanted.cell}"
        problem = 'has faults of kind "sector_error": which requests failed is not kept'
        raise ConfigError(place, problem, "one without, or with faults that the device does not tell of")


def _blktrace(wanted: Wanted, folder: Path) -> list[Path]:
    _check_requests(wanted)
    inside = folder / wanted.name
    inside.mkdir()
    events = block_events(wanted.run.path, wanted.cell, wanted.seed)
    return write_blktrace(events, _config(wanted)["machine"]["cpus"], inside)


def _blkparse(wanted: Wanted, folder: Path) -> list[Path]:
    _check_requests(wanted)
    events = block_events(wanted.run.path, wanted.cell, wanted.seed)
    return [_text(folder / f"{wanted.name}.txt", blkparse_lines(events))]


def _perfetto(wanted: Wanted, folder: Path) -> list[Path]:
    path = folder / f"{wanted.name}.pftrace"
    with path.open("wb") as file:
        file.writelines(perfetto_packets(wanted.run.path, wanted.cell, wanted.seed, wanted.between))
    return [path]


def _collapsed(wanted: Wanted, folder: Path) -> list[Path]:
    lines = collapsed_lines(wanted.run, wanted.cell, wanted.seed, wanted.currency)
    return [_text(folder / f"{wanted.name}.folded", lines)]


def _text(path: Path, lines: Iterable[str]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


FORMATS: dict[str, Format] = {
    "fio-json": Format(_fio(False), True, "fio's JSON document"),
    "fio-json+": Format(_fio(True), True, "the same with the bins of latencies"),
    "fio-log": Format(_fio_logs, True, "fio's logs of bandwidth, latency and IOPS"),
    "blktrace": Format(_blktrace, True, "blktrace's binary files, one a CPU"),
    "blkparse": Format(_blkparse, True, "the same as blkparse prints it"),
    "perfetto": Format(_perfetto, True, "a trace for ui.perfetto.dev"),
    "collapsed": Format(_collapsed, False, "stacks and their cost, for flame graphs"),
}
"""Format -> how it is made."""


def check_format(run: Run, name: str) -> Format:
    """
    Return a format by name.

    Raises ConfigError for a name that is none, and for a run that does not have what it needs.
    """
    if name not in FORMATS:
        raise ConfigError("--format", f"{name!r} is not known", ", ".join(FORMATS))
    if FORMATS[name].traced and not has_trace(run.path):
        problem = f"was made without --trace, which {name} needs"
        raise ConfigError(str(run.path), problem, "a run made with --trace, or --format collapsed")
    return FORMATS[name]
