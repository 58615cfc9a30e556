"""
fio job files: the options we model, read as fio reads them.

The words mean what they mean in fio (checked against `fio --showcmd` and its I/O logs in the tests): a later
option wins; a second [global] adds to the first and holds for the jobs below it; two sections of one name are
two jobs; `;` and `#` start a comment anywhere in a line; `include FILE` puts the lines of a file, which may
not hold sections, in its place; bssplit and bsrange win over bs wherever they stand.

Left out on purpose: whatever fio accepts and we do not model is an error with its line, never ignored. So
are spellings that fio itself accepts and misreads: blanks around `=` (fio reads `bs = 8k` as 8 bytes),
fractions and an iodepth that psync cannot have. `$` substitution and lists of files are not modelled.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sim.errors import ConfigError
from sim.workload.fio import values
from sim.workload.fio.values import Fields, OptionValueError

Advice = Literal["normal", "sequential", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One job of a workload, with fio's defaults.

    rw: "read" (sequential) or "randread".
    bs_bytes: bytes asked by one read(2); not looked at with one of the next two.
    bs_range_bytes: (smallest, largest), multiples of the smallest in between.
    bs_split: (bytes, percent) of reads, in order.
    size_bytes: length of the region that is read, None = to the end of the file. offset_bytes: its start.
    io_size_bytes: bytes read in all, None = the region once; a longer one starts over, as fio does: see
    `generator.passes`. The *_percent fields stand for them when set: of the file, io_size of the region.
    numjobs: identical concurrent readers. filename: None = the volume's only file.
    randseed, randrepeat: see `generator.job_stream`. norandommap: a block may be read twice.
    random_distribution: "zipf" has exponent zipf_theta, and reads blocks twice. percentage_random: how many
    of a random job's reads are; the others go on where the last one ended.
    fadvise_hint: as written; `advice` says what posix_fadvise(2) is told.
    loops: how often the whole is repeated. time_based: over and over, until runtime_ns, which also ends
    other jobs when set. startdelay_ns: from when the job could start. stonewall: it starts when all jobs
    above it have ended, and those below it, up to the next stonewall, with it.
    thinktime_ns: pause after each thinktime_blocks reads. rate_bytes_s: most bytes a second, None = no limit.
    invalidate: drop the file's cached pages before each pass over the region, as fio does.
    """

    name: str
    rw: Literal["read", "randread"] = "read"
    bs_bytes: int = 4096
    bs_range_bytes: tuple[int, int] | None = None
    bs_split: tuple[tuple[int, int], ...] | None = None
    size_bytes: int | None = None
    size_percent: int | None = None
    offset_bytes: int = 0
    offset_percent: int | None = None
    io_size_bytes: int | None = None
    io_size_percent: int | None = None
    numjobs: int = 1
    filename: str | None = None
    randseed: int = 0x89
    randrepeat: bool = True
    norandommap: bool = False
    random_distribution: Literal["random", "zipf"] = "random"
    zipf_theta: float | None = None
    percentage_random: int = 100
    fadvise_hint: Literal["0", "1", "random", "sequential"] = "1"
    loops: int = 1
    time_based: bool = False
    runtime_ns: int | None = None
    startdelay_ns: int = 0
    stonewall: bool = False
    thinktime_ns: int = 0
    thinktime_blocks: int = 1
    rate_bytes_s: int | None = None
    invalidate: bool = True

    @property
    def advice(self) -> Advice:
        """What the reader tells posix_fadvise(2): fio's default is the job's own pattern."""
        by_hint: dict[str, Advice] = {"0": "normal", "random": "random", "sequential": "sequential"}
        return by_hint.get(self.fadvise_hint, "sequential" if self.rw == "read" else "random")

    @property
    def bs_limits_bytes(self) -> tuple[int, int]:
        """The smallest and the largest read, in bytes."""
        if self.bs_split is not None:
            sizes = [size for size, _ in self.bs_split]
            return min(sizes), max(sizes)
        return self.bs_range_bytes or (self.bs_bytes, self.bs_bytes)


def _field(name: str, parser: Callable[[str], object]) -> Callable[[str], Fields]:
    return lambda value: {name: parser(value)}


def _only(allowed: str) -> Callable[[str], Fields]:
    """One value is allowed, and it changes nothing."""

    def parse(value: str) -> Fields:
        values.word(value, allowed)
        return {}

    return parse


def _iodepth(value: str) -> Fields:
    """fio takes any depth with psync and reads one at a time all the same; here only 1 is taken."""
    depth = values.count(value)
    if depth > 1:
        problem = f"{value!r} has no effect with psync, which reads one at a time"
        raise OptionValueError(problem, f"1; for {depth} reads at once numjobs={depth}")
    return {}


def _offset(value: str) -> Fields:
    fields = values.size_or_percent("offset", values.size, 0)(value)
    return {**fields, "offset_bytes": fields["offset_bytes"] or 0}


_OPTIONS: dict[str, Callable[[str], Fields]] = {
    "rw": _field("rw", lambda v: values.word(v, "read", "randread")),
    "bs": _field("bs_bytes", values.positive_size),
    "bsrange": _field("bs_range_bytes", values.size_range),
    "bssplit": _field("bs_split", values.size_split),
    "size": values.size_or_percent("size", values.positive_size, 1),
    "offset": _offset,
    "io_size": values.size_or_percent("io_size", values.positive_size, 1),
    "numjobs": _field("numjobs", values.count),
    "iodepth": _iodepth,
    "ioengine": _only("psync"),
    "direct": _only("0"),
    "filename": _field("filename", values.filename),
    "randseed": _field("randseed", values.size),
    "random_distribution": values.distribution,
    "percentage_random": _field("percentage_random", values.percent),
    "randrepeat": _field("randrepeat", values.flag),
    "norandommap": _field("norandommap", values.bare_flag),
    "fadvise_hint": _field("fadvise_hint", lambda v: values.word(v, "0", "1", "random", "sequential")),
    "loops": _field("loops", values.count),
    "time_based": _field("time_based", values.bare_flag),
    "runtime": _field("runtime_ns", values.positive_time_s),
    "startdelay": _field("startdelay_ns", values.time_s),
    "stonewall": _field("stonewall", values.bare_flag),
    "thinktime": _field("thinktime_ns", values.time_us),
    "thinktime_blocks": _field("thinktime_blocks", values.count),
    "rate": _field("rate_bytes_s", values.positive_size),
    "invalidate": _field("invalidate", values.flag),
}
_ALIASES = {
    "readwrite": "rw",
    "blocksize": "bs",
    "blocksize_range": "bsrange",
    "fileoffset": "offset",
    "io_limit": "io_size",
    "timeout": "runtime",
    "wait_for_previous": "stonewall",
}
_BARE = ("norandommap", "time_based", "stonewall", "wait_for_previous")


def option_names() -> tuple[str, ...]:
    """Return the names of all modelled options, aliases included, sorted."""
    return tuple(sorted({*_OPTIONS, *_ALIASES}))


def _apply(job: Job, place: str, name: str, value: str | None) -> Job:
    """Return `job` with one option set; `value` is None for an option written without `=`."""
    parser = _OPTIONS.get(_ALIASES.get(name, name))
    if parser is None:
        near = difflib.get_close_matches(name, option_names(), 3, cutoff=0.5)
        raise ConfigError(place, f"option {name!r} is not modelled", ", ".join(near or option_names()))
    if value is None and name not in _BARE:
        raise ConfigError(place, f"option {name!r} has no value", f"{name}=VALUE")
    if value is not None and "$" in value:
        raise ConfigError(place, f"{name}={value}: '$' is not modelled", "the value itself")
    try:
        changed = replace(job, **parser(value or ""))
    except OptionValueError as error:
        problem, allowed = error.args
        raise ConfigError(place, f"{name}: {problem}", allowed) from None
    if changed.bs_split is not None and changed.bs_range_bytes is not None:
        raise ConfigError(place, f"{name}: bssplit with bsrange is not modelled", "one of the two")
    return changed


_COMMENT = re.compile(r"[;#].*")
_INCLUDE = re.compile(r"include\s+(.+)")
_INCLUDE_DEPTH = 16  # fio's own limit: a file that includes itself ends there

Line = tuple[str, str]
"""(place, text) of one line of a job file, without comments."""


def _lines(text: str, source: str, depth: int = 0) -> list[Line]:
    """Return the lines of a job file that say something, includes put in their places."""
    found: list[Line] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", raw).strip()
        place = f"{source}:{number}"
        include = _INCLUDE.fullmatch(line)
        if include is not None:
            found += _included(include[1], source, place, depth + 1)
        elif depth and line.startswith("["):
            raise ConfigError(place, f"{line!r}: a section in an included file", "options only")
        elif line:
            found.append((place, line))
    return found


def _included(name: str, source: str, place: str, depth: int) -> list[Line]:
    path = Path(source).parent / name
    if depth > _INCLUDE_DEPTH:
        raise ConfigError(place, f"include {name}: {depth} levels deep", f"at most {_INCLUDE_DEPTH}")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or "not a name").lower()
        raise ConfigError(
            place, f"include: {name!r} cannot be read ({why})", f"a file in {path.parent}"
        ) from None
    return _lines(text, str(path), depth)


def parse_jobs(text: str, source: str) -> tuple[Job, ...]:
    """
    Return the jobs of a fio job file, in file order.

    text: the file. source: its path, which errors give together with line and section, and beside which
    included files lie (fio looks in its working directory too).

    Raises ConfigError on the first line that is not understood, and if there is no job.
    """
    defaults = Job(name="global")
    jobs: list[Job] = []
    section = ""
    for place, line in _lines(text, source):
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
