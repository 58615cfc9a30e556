"""
An experiment around a fio job file or command line alone: a plain system, and the files it lays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.config.cell import Experiment
from sim.documents import is_utf8
from sim.errors import ConfigError
from sim.experiment.loading import expand, load_experiment
from sim.experiment.matrix import Raw, parse_set
from sim.experiment.workload_jobs import CommandLine
from sim.shipped import experiment_file

_NAME = "fio"
_TITLE_LETTERS = 100


def is_job_file(file: Path | None) -> bool:
    """Return whether a file that is to be run is a fio job file, by its name."""
    return file is not None and file.suffix == ".fio"


def experiment_of(file: Path | None, fio: str | None, sets: Sequence[str]) -> Experiment:
    """
    Return the experiment of a file, with the jobs of the fio command line `fio` if there is one.

    file: an experiment file, the name of one in experiments/, or a job file; None with `fio`. Raises
    ConfigError with all that is wrong.
    """
    if file is None and fio is None:
        raise ConfigError("readpath run", "nothing to run", "an experiment file, a .fio job file, or --fio")
    if fio is not None and not fio.strip():
        raise ConfigError("--fio", "an empty command line", '--fio "--name=a --rw=read --size=1m"')
    if fio is not None and not is_utf8(fio):
        raise ConfigError("--fio", f"{fio[:40]!r} is no text", "UTF-8")
    if file is not None and not is_job_file(file):
        return load_experiment(experiment_file(file), sets, fio)
    if fio is not None and file is not None:
        raise ConfigError("--fio", f"with the job file {file}", "one of the two, or --fio with an experiment")
    return fio_experiment(file, fio, sets)


def fio_experiment(file: Path | None, fio: str | None, sets: Sequence[str]) -> Experiment:
    """
    Return the experiment of a job file, or of a command line: page_io on an NVMe drive, no bytes moved.

    sets: "key=value", as after `--set`, which say another system. Raises ConfigError with all that is wrong.
    """
    job: object = CommandLine(fio) if fio is not None else (file or Path()).name
    title = " ".join((fio or str(file)).split())
    raw: Raw = {
        "title": title if len(title) <= _TITLE_LETTERS else f"{title[:_TITLE_LETTERS]}...",
        "data": "off",
        "device": {"profile": "nvme"},
        "volume": {"contents": "none"},
        "workload": {"job": job},
    }
    return expand(raw, file or Path(_NAME), [parse_set(word) for word in sets])
