"""
fio job files: the options we model, read as fio reads them.

The words mean what they mean in fio (checked against `fio --showcmd` and its I/O logs in the tests): `4k`,
`4kb` and `4ki` are 4096 bytes, but `4KiB` is 4000 (fio's kb_base=1024); a later option wins; a second
[global] adds to the first and holds for the jobs below it; two sections of one name are two jobs; `;` and
`#` start a comment anywhere in a line.

Left out on purpose: whatever fio accepts and we do not model is an error with its line, never ignored. So
are three spellings that fio itself accepts and misreads: blanks around `=` (fio reads `bs = 8k` as 8
bytes), fractions (`1.5k` as 1 byte) and an iodepth that psync cannot have. `include`, `$` substitution and
lists of files are not modelled.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sim.errors import ConfigError
from sim.units import NS_PER_MS, NS_PER_S, NS_PER_US

Advice = Literal["normal", "sequential", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One job of a workload, with fio's defaults.

    rw: "read" (sequential) or "randread". bs_bytes: bytes asked by one read(2).
    size_bytes: length of the region that is read, None = to the end of the file. offset_bytes: its start.
    io_size_bytes: bytes read in all, None = the region once; a longer one starts over. Not with loops > 1.
    numjobs: identical concurrent readers. filename: None = the volume's only file.
    randseed, randrepeat: see `generator.job_stream`. norandommap: a block may be read twice.
    fadvise_hint: as written; `advice` says what posix_fadvise(2) is told.
    loops: how often the whole is repeated. thinktime_ns: pause after each read.
    invalidate: drop the file's cached pages before the first read, as fio does.
    """

    name: str
    rw: Literal["read", "randread"] = "read"
    bs_bytes: int = 4096
    size_bytes: int | None = None
    offset_bytes: int = 0
    io_size_bytes: int | None = None
    numjobs: int = 1
    filename: str | None = None
    randseed: int = 0x89
    randrepeat: bool = True
    norandommap: bool = False
    random_distribution: Literal["random"] = "random"
    fadvise_hint: Literal["0", "1", "random", "sequential"] = "1"
    loops: int = 1
    thinktime_ns: int = 0
    invalidate: bool = True

    @property
    def advice(self) -> Advice:
        """What the reader tells posix_fadvise(2): fio's default is the job's own pattern."""
        by_hint: dict[str, Advice] = {"0": "normal", "random": "random", "sequential": "sequential"}
        return by_hint.get(self.fadvise_hint, "sequential" if self.rw == "read" else "random")


class _ValueError(Exception):
    """A value of an option that is not understood: (problem, allowed)."""


_NUMBER = re.compile(r"(0x[0-9a-fA-F]+|[0-9]+)([A-Za-z]*)")
_SIZE_FACTORS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    # fio's kb_base=1024: the short forms are binary and the long "KiB" is decimal, for history's sake.
    _SIZE_FACTORS |= dict.fromkeys((_letter, f"{_letter}b", f"{_letter}i"), 1024**_power)
    _SIZE_FACTORS[f"{_letter}ib"] = 1000**_power
_TIME_FACTORS = {"": NS_PER_US, "us": NS_PER_US, "ms": NS_PER_MS, "s": NS_PER_S}


def _scaled(value: str, factors: Mapping[str, int], allowed: str) -> int:
    match = _NUMBER.fullmatch(value)
    factor = factors.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise _ValueError(f"{value!r} is not understood", allowed)
    return int(match[1], 0 if match[1].startswith("0x") else 10) * factor


def _size(value: str) -> int:
    return _scaled(value, _SIZE_FACTORS, "bytes, or a whole number with k, m, g, t")


def _positive_size(value: str) -> int:
    size = _size(value)
    if size < 1:
        raise _ValueError(f"{value!r} is out of range", ">= 1")
    return size


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise _ValueError(f"{value!r} is out of range", "a whole number >= 1")
    return int(value)


def _flag(value: str) -> bool:
    return _word(value, "0", "1") == "1"


def _empty_or_flag(value: str) -> bool:
    return value == "" or _flag(value)


def _word(value: str, *allowed: str) -> str:
    if value not in allowed:
        raise _ValueError(f"{value!r} is not modelled", ", ".join(allowed))
    return value


def _filename(value: str) -> str:
    if not value or ":" in value:
        raise _ValueError(f"{value!r} is not one file", "the name of one file of the volume, without ':'")
    return value


_OPTIONS: dict[str, tuple[str | None, Callable[[str], Any]]] = {
    # option: (field of Job, parser); no field: one value is allowed, and it changes nothing
    "rw": ("rw", lambda v: _word(v, "read", "randread")),
    "bs": ("bs_bytes", _positive_size),
    "size": ("size_bytes", _positive_size),
    "offset": ("offset_bytes", _size),
    "io_size": ("io_size_bytes", _positive_size),
    "numjobs": ("numjobs", _count),
    "iodepth": (None, lambda v: _word(v, "1")),
    "ioengine": (None, lambda v: _word(v, "psync")),
    "direct": (None, lambda v: _word(v, "0")),
    "filename": ("filename", _filename),
    "randseed": ("randseed", _size),
    "random_distribution": ("random_distribution", lambda v: _word(v, "random")),
    "randrepeat": ("randrepeat", _flag),
    "norandommap": ("norandommap", _empty_or_flag),
    "fadvise_hint": ("fadvise_hint", lambda v: _word(v, "0", "1", "random", "sequential")),
    "loops": ("loops", _count),
    "thinktime": ("thinktime_ns", lambda v: _scaled(v, _TIME_FACTORS, "us, or a number with us, ms, s")),
    "invalidate": ("invalidate", _flag),
}
_ALIASES = {"readwrite": "rw", "blocksize": "bs", "fileoffset": "offset", "io_limit": "io_size"}


def option_names() -> tuple[str, ...]:
    """Return the names of all modelled options, aliases included, sorted."""
    return tuple(sorted({*_OPTIONS, *_ALIASES}))


def _apply(job: Job, place: str, name: str, value: str | None) -> Job:
    """Return `job` with one option set; `value` is None for an option written without `=`."""
    known = _OPTIONS.get(_ALIASES.get(name, name))
    if known is None:
        near = difflib.get_close_matches(name, option_names(), 3, cutoff=0.5)
        raise ConfigError(place, f"option {name!r} is not modelled", ", ".join(near or option_names()))
    if value is None and name != "norandommap":
        raise ConfigError(place, f"option {name!r} has no value", f"{name}=VALUE")
    if value is not None and "$" in value:
        raise ConfigError(place, f"{name}={value}: '$' is not modelled", "the value itself")
    field, parser = known
    try:
        parsed = parser(value or "")
    except _ValueError as error:
        problem, allowed = error.args
        raise ConfigError(place, f"{name}: {problem}", allowed) from None
    return job if field is None else replace(job, **{field: parsed})


_COMMENT = re.compile(r"[;#].*")


def parse_jobs(text: str, source: str) -> tuple[Job, ...]:
    """
    Return the jobs of a fio job file, in file order.

    text: the file. source: its name, which errors give together with line and section.

    Raises ConfigError on the first line that is not understood, and if there is no job.
    """
    defaults = Job(name="global")
    jobs: list[Job] = []
    section = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", raw).strip()
        place = f"{source}:{number}"
        if not line:
            continue
        if line.startswith("["):
            section = line[1:-1].strip() if line.endswith("]") else ""
            if not section or "]" in section:
                raise ConfigError(place, f"{line!r} is not a section", "[global], [name of a job]")
            if section != "global":
                jobs.append(replace(defaults, name=section))
            continue
        if not section:
            raise ConfigError(place, f"{line!r} is outside of a section", "a [section] line above it")
        name, equals, value = line.partition("=")
        if equals and (name != name.rstrip() or value != value.lstrip()):
            raise ConfigError(place, f"blanks around '=' in {line!r}, which fio misreads", "option=value")
        inside = f"{place} [{section}]"
        if section == "global":
            defaults = _apply(defaults, inside, name, value if equals else None)
        else:
            jobs[-1] = _apply(jobs[-1], inside, name, value if equals else None)
    if not jobs:
        raise ConfigError(source, "no job in it", "at least one section besides [global]")
    return tuple(jobs)


def jobs_from_tables(tables: Sequence[Mapping[str, object]], source: str) -> tuple[Job, ...]:
    """
    Return the jobs of an experiment file's inline tables: fio's options with TOML values, and `name`.

    A size in "KiB" is refused: fio takes it for 1000 bytes, the experiment file around it for 1024.

    Raises ConfigError naming `source`, the option and the value.
    """
    jobs = []
    for index, table in enumerate(tables):
        place = source if len(tables) == 1 else f"{source}[{index}]"
        name = table.get("name", f"job{index}")
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{place}.name", f"{name!r} is not a name", "a string")
        job = Job(name=name)
        for option, value in table.items():
            if option != "name":
                job = with_option(job, f"{place}.{option}", option, value)
        jobs.append(job)
    return tuple(jobs)


def _toml_value(place: str, value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise ConfigError(
            place, f"{value!r} is not an option's value", "a string, a whole number or a boolean"
        )
    if re.fullmatch(r"[0-9]+\s*[kmgtp]ib", value.lower()):
        plain = value[:-2].replace(" ", "").lower()
        raise ConfigError(place, f"{value!r} is a power of 1000 in fio, of 1024 elsewhere", f"{plain!r}")
    return value


def with_option(job: Job, place: str, name: str, value: object) -> Job:
    """Return `job` with one fio option set to a TOML value; raise ConfigError at `place` if it cannot be."""
    return _apply(job, place, name, _toml_value(place, value))
