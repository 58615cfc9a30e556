"""
An experiment around a fio job file or command line alone: a plain system, and the files it lays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.config.cell import Experiment
from sim.experiment.loading import expand
from sim.experiment.matrix import Raw, parse_set
from sim.experiment.workload_jobs import CommandLine

_NAME = "fio"
_TITLE_LETTERS = 100


def fio_experiment(file: Path | None, fio: str | None, sets: Sequence[str]) -> Experiment:
    """
    Return the experiment of a job file, or of a command line: page_io on an NVMe drive, no bytes moved.

    sets: "key=value", as after `--set`, which say another system. Raises ConfigError with all that is wrong.
    """
    job: object = CommandLine(fio) if fio is not None else (file or Path()).name
    title = " ".join((fio or str(file)).split())
    raw: Raw = {
        "title": title if len(title) <= _TITLE_LETTERS else f"{title[:_TITLE_LETTERS]}...",
        "path": "page_io",
        "data": "off",
        "device": {"profile": "nvme"},
        "volume": {"contents": "none"},
        "workload": {"job": job},
    }
    return expand(raw, file or Path(_NAME), [parse_set(word) for word in sets])
