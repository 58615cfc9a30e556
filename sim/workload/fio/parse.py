"""
fio jobs from job files, from command lines and from tables of an experiment file.

The words mean what they mean in fio (checked against fio itself and its I/O logs in the tests): a later
option wins; a second [global] adds to the first and holds for the jobs below it; two sections of one name are
two jobs; bssplit and bsrange win over bs wherever they stand. What each option does here stands in
options.toml. Whatever is wrong is told at once, a line each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sim.errors import ConfigError, raise_all
from sim.workload.fio.checks import errors_together
from sim.workload.fio.command_line import ReadFile, read_command_line
from sim.workload.fio.draft import Draft, Given
from sim.workload.fio.job import Job
from sim.workload.fio.job_file import GLOBAL, Section, Words, read_sections
from sim.workload.fio.table import find

Then = Sequence[tuple[str, str, object]]
"""(place, option, TOML value) set in every job behind all else, as `--set workload.job.bs=4k` says."""


def machine_words(machine: Mapping[str, int]) -> Words:
    """Return what `$` stands for here: the environment, and what the simulated machine has."""
    return Words(os.environ, machine)


def parse_jobs(text: str, source: str, then: Then = (), words: Words | None = None) -> tuple[Job, ...]:
    """
    Return the jobs of a fio job file, in file order.

    text: the file. source: its path; see `job_file.read_sections`. then: see Then.

    Raises ConfigError with all that is wrong, and if there is no job.
    """
    sections, errors = read_sections(text, source, words or machine_words({}))
    return _jobs(sections, errors, source, then)


def jobs_of_command_line(
    text: str, place: str, read_file: ReadFile, then: Then = (), words: Words | None = None
) -> tuple[Job, ...]:
    """Return the jobs of a fio command line; see `command_line.read_command_line`. Raises as parse_jobs."""
    said = read_command_line(text, place, words or machine_words({}), read_file)
    jobs = _jobs(said.sections, list(said.errors), place, then)
    return (replace(jobs[0], unused=(*jobs[0].unused, *said.unused)), *jobs[1:])


def jobs_from_tables(tables: Sequence[Mapping[str, object]], source: str, then: Then = ()) -> tuple[Job, ...]:
    """
    Return the jobs of an experiment file's inline tables: fio's options with TOML values, and `name`.

    A size in "KiB" is refused: fio takes it for 1000 bytes, the experiment file around it for 1024.

    Raises ConfigError naming `source`, the option and the value.
    """
    sections: list[Section] = []
    errors: list[ConfigError] = []
    for index, table in enumerate(tables):
        place = source if len(tables) == 1 else f"{source}[{index}]"
        name = table.get("name", f"job{index}")
        if not isinstance(name, str) or not name:
            errors.append(ConfigError(f"{place}.name", f"{name!r} is not a name", "a string"))
            continue
        section = Section(name, place)
        sections.append(section)
        for option, value in table.items():
            if option != "name":
                section.given += _given([(f"{place}.{option}", option, value)], errors)
    return _jobs(sections, errors, source, then)


def _jobs(sections: list[Section], errors: list[ConfigError], source: str, then: Then) -> tuple[Job, ...]:
    """Return the jobs of sections in order; [global] holds for those below it."""
    errors = list(errors)
    last = _given(then, errors)
    defaults = Draft(GLOBAL)
    jobs: list[Job] = []
    for section in sections:
        if section.is_global:
            errors += defaults.set_all(section.given)
            continue
        draft = defaults.heir(section.name, section.place if _AT_LINE.search(section.place) else "")
        errors += draft.set_all(section.given)
        errors += draft.set_all(last)
        if not section.name:
            errors.append(ConfigError(section.place, "a job without a name", "--name=NAME"))
        job, problems = draft.job()
        jobs.append(job)
        errors += problems
    if not jobs and not errors:
        raise ConfigError(source, "no job in it", "at least one section besides [global]")
    raise_all([*sorted(errors, key=_line), *(errors_together(jobs) if not errors else ())])
    return tuple(jobs)


_AT_LINE = re.compile(r":[0-9]+$")


def _line(error: ConfigError) -> int:
    """Return the line of a job file that an error names, to tell errors in its order; 0 if it names none."""
    named = re.match(r".*?:([0-9]+)(?: \[|:|$)", error.place)
    return int(named[1]) if named else 0


def _given(then: Then, errors: list[ConfigError]) -> list[Given]:
    """Return options with TOML values as fio spells them."""
    found: list[Given] = []
    for place, name, value in then:
        try:
            found.append((place, name, _fio_value(place, name, value)))
        except ConfigError as error:
            errors.append(error)
    return found


def _fio_value(place: str, name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise ConfigError(
            place, f"{value!r} is not an option's value", "a string, a whole number or a boolean"
        )
    option = find(name, "")
    sized = option is not None and option.takes in ("int", "bytes")
    if sized and re.fullmatch(r"[0-9]+\s*[kmgtp]ib", value.lower()):
        plain = value[:-2].replace(" ", "").lower()
        raise ConfigError(place, f"{value!r} is a power of 1000 in fio, of 1024 elsewhere", f"{plain!r}")
    return value
