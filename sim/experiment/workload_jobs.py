"""
The fio jobs of an experiment: from a job file, a command line or tables to Jobs, and the files they read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.config.system import Machine
from sim.errors import ConfigError, ReadpathError
from sim.experiment.beside import Beside
from sim.experiment.empty_volume import empty_volume
from sim.experiment.matrix import JOB_KEY, Override, Raw
from sim.units import MIB, parse_size
from sim.workload.fio.command_line import is_command_line
from sim.workload.fio.files import laid_out, layouts_of
from sim.workload.fio.job import Job
from sim.workload.fio.job_file import Words
from sim.workload.fio.parse import Then, jobs_from_tables, jobs_of_command_line, machine_words, parse_jobs


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A fio command line that was given as such."""

    text: str

    def __str__(self) -> str:
        return self.text


def put_jobs(raw: Raw, overrides: list[Override], beside: Beside) -> None:
    """
    Put Jobs where `raw` has a job file's name, a command line or tables; and their files in an empty volume.

    Raises ConfigError with all that is wrong.
    """
    workload = raw.get("workload")
    if not isinstance(workload, dict) or "job" not in workload:
        return
    then = [
        (override.place, override.key.removeprefix(f"{JOB_KEY}."), override.value)
        for override in overrides
        if override.key.startswith(f"{JOB_KEY}.")
    ]
    jobs = _jobs(workload["job"], then, beside, machine_words(_machine(raw)))
    workload["job"] = jobs
    volume = empty_volume(raw, f"{beside.path}: volume", "the job")
    if volume is not None:
        kinds = {name: {"layout": {"kind": kind}} for name, kind in layouts_of(jobs).items()}
        sizes = laid_out(jobs)
        volume.fill([{"name": name, "size": sizes[name], **kinds.get(name, {})} for name in sizes])


def _jobs(value: Any, then: Then, beside: Beside, words: Words) -> tuple[Job, ...]:
    place = f"{beside.path}: {JOB_KEY}"

    def read(name: str) -> tuple[str, str]:
        text = beside.read(place, name).decode("utf-8", errors="replace")
        return text, str(beside.path.parent / name)

    if isinstance(value, CommandLine):
        return jobs_of_command_line(value.text, "--fio", read, then, words)
    if isinstance(value, str) and is_command_line(value):
        return jobs_of_command_line(value, place, read, then, words)
    if isinstance(value, str):
        return parse_jobs(*read(value), then, words)
    if isinstance(value, dict):
        return jobs_from_tables([value], place, then)
    if isinstance(value, list) and value and all(isinstance(table, dict) for table in value):
        return jobs_from_tables(value, place, then)
    problem = f"{value!r} is not a job"
    raise ConfigError(place, problem, "the path of a fio job file, a fio command line, or its options")


def _machine(raw: Raw) -> dict[str, int]:
    """Return what jobs may ask of the machine. A mistake in it is told when all is validated."""
    said = raw.get("machine")
    table = said if isinstance(said, dict) else {}
    default = Machine()
    cpus = table.get("cpus", default.cpus)
    try:
        memory = parse_size("", table["memory"]) if "memory" in table else default.memory_bytes
    except ReadpathError:
        memory = default.memory_bytes
    return {"ncpus": cpus if isinstance(cpus, int) else default.cpus, "mb_memory": memory // MIB}
