"""
What fio measured of a device: the jobs of its JSON results that say something about one, a row each.

A row is a job with all its clones. Jobs that read a fixed size, in sequence or at random, with nothing but
the device in their way are taken; every other is left out by name, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from sim.documents import parse_json, read_text
from sim.errors import ConfigError
from sim.units import MIB, NS_PER_S, SECTOR_BYTES
from sim.workload.fio.values import OptionValueError, size

DEEP_ENGINES = ("libaio", "io_uring", "posixaio")
"""Engines that keep `iodepth` reads in flight; with any other a clone has one."""
PACED = ("rate", "rate_iops", "thinktime", "latency_target", "flow")
"""Options that make a job wait for something else than its reads."""
MIXED = ("bsrange", "bssplit", "zonemode", "percentage_random")
MOST_BLOCK_BYTES, MOST_IN_FLIGHT = 16 * MIB, 1024
"""Larger jobs would take minutes to simulate."""
_ALLOWED = "a result of fio --output-format=json"
OURS = "readpath"
"""The key under which a result of `--run` has its plan, and the limits of the request queue."""


@dataclass(frozen=True, slots=True)
class FioRow:
    """
    One job, its clones together. depth: reads in flight of one clone. reads: of all clones; iops likewise.

    lat_ns: mean from submission to completion. low_ns, high_ns: its 20th and 80th percentile, None if fio
    kept none. system_ns, user_ns: CPU time a read, in the kernel and in fio.
    """

    name: str
    file: str
    random: bool
    bs_bytes: int
    depth: int
    clones: int
    reads: int
    iops: float
    lat_ns: float
    low_ns: float | None
    high_ns: float | None
    system_ns: float
    user_ns: float

    @property
    def in_flight(self) -> int:
        """Reads of all clones at once."""
        return self.depth * self.clones

    @property
    def alone(self) -> bool:
        """Whether a read has the device for itself."""
        return self.in_flight == 1

    @property
    def bytes_per_s(self) -> float:
        """The bandwidth."""
        return self.iops * self.bs_bytes


@dataclass(frozen=True, slots=True)
class FioResult:
    """A result file: rows, jobs left out with the reason each, and what the request queue was, if kept."""

    name: str
    version: str
    time: str
    rows: tuple[FioRow, ...]
    left_out: tuple[str, ...]
    queue: dict[str, Any]


def read_fio_result(path: Path, buffered: bool = False) -> FioResult:
    """
    Return what a JSON result of fio says (`--output-format=json` or json+; warnings above it are skipped).

    buffered: take jobs without direct=1 too. Raises ConfigError for a file that is none.
    """
    return parse_fio_result(read_text(path, str(path), _ALLOWED), path.name, buffered, str(path))


def parse_fio_result(text: str, name: str, buffered: bool = False, place: str = "fio") -> FioResult:
    """Return what the text of a result says; `place` is named in the ConfigError of one that is none."""
    allowed = _ALLOWED
    document = parse_json(text[max(text.find("{"), 0) :], place, allowed)
    try:
        everywhere = document.get("global options", {})
        rows: list[FioRow] = []
        left_out: list[str] = []
        for _, together in groupby(document["jobs"], key=lambda job: job["groupid"]):
            entries = list(together)
            job = str(entries[0]["jobname"])
            try:
                rows.append(_row(name, entries, everywhere, buffered))
            except OptionValueError as error:
                left_out.append(f"{name}: job {job}: {error.args[0]}")
        queue = document.get(OURS, {}).get("queue", {})
        version, time = str(document["fio version"]), str(document["time"])
        return FioResult(name, version, time, tuple(rows), tuple(left_out), dict(queue))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigError(place, f"is no result of fio ({error!r})", allowed) from error


def rows_of(results: Sequence[FioResult]) -> list[FioRow]:
    """Return the rows of results; of a job that several have, the median of each figure."""
    same = repeated([row for result in results for row in result.rows])
    return [rows[0] if len(rows) == 1 else _median(rows) for rows in same]


def repeated(rows: Iterable[FioRow]) -> list[list[FioRow]]:
    """Return rows of the same job together: alike in what is read, and in how many reads are in flight."""
    same: dict[tuple[bool, int, int, int], list[FioRow]] = {}
    for row in rows:
        same.setdefault((row.random, row.bs_bytes, row.depth, row.clones), []).append(row)
    return list(same.values())


def _median(rows: list[FioRow]) -> FioRow:
    lowest, highest = (
        [one for one in column if one is not None]
        for column in zip(*((row.low_ns, row.high_ns) for row in rows), strict=True)
    )
    return replace(
        rows[0],
        file=f"{len(rows)} results",
        reads=sum(row.reads for row in rows),
        iops=median(row.iops for row in rows),
        lat_ns=median(row.lat_ns for row in rows),
        low_ns=median(lowest) if lowest else None,
        high_ns=median(highest) if highest else None,
        system_ns=median(row.system_ns for row in rows),
        user_ns=median(row.user_ns for row in rows),
    )


def _row(file: str, entries: list[dict[str, Any]], everywhere: dict[str, Any], buffered: bool) -> FioRow:
    """Return the row of a group's entries; raises OptionValueError(why) if it says nothing of a device."""
    said = [everywhere | entry["job options"] for entry in entries]
    options = said[0]
    _check(entries, options, buffered)
    ways = {tuple(str(one.get(key, "")) for key in ("rw", "bs", "iodepth", "ioengine")) for one in said}
    if len(ways) > 1:
        raise OptionValueError("runs beside jobs of other kinds; give it a stonewall", "")
    numjobs = int(options.get("numjobs", 1))
    clones = numjobs if len(entries) == 1 else len(entries)
    depth = int(options.get("iodepth", 1)) if options.get("ioengine") in DEEP_ENGINES else 1
    reads = [entry["read"] for entry in entries]
    count = sum(int(read["total_ios"]) for read in reads)
    iops = sum(float(read["iops"]) for read in reads)
    if not count or iops <= 0:
        raise OptionValueError("read nothing", "")
    if not 1 <= clones * depth <= MOST_IN_FLIGHT:
        raise OptionValueError(f"has {clones * depth} reads in flight, not 1 to {MOST_IN_FLIGHT}", "")
    lowest, highest = (_percentile(reads, name) for name in ("20.000000", "80.000000"))
    per_read_ns = clones * NS_PER_S / iops
    system, user = (
        sum(float(entry[name]) for entry in entries) / len(entries) / 100 * per_read_ns
        for name in ("sys_cpu", "usr_cpu")
    )
    latency = sum(float(read["lat_ns"]["mean"]) * int(read["total_ios"]) for read in reads) / count
    if min(latency, system, user) < 0:
        raise OptionValueError("has times below 0", "")
    return FioRow(
        name=str(entries[0]["jobname"]),
        file=file,
        random=options["rw"].startswith("rand"),
        bs_bytes=size(str(options.get("bs", "4k")).split(",")[0]),
        depth=depth,
        clones=clones,
        reads=count,
        iops=iops,
        lat_ns=latency,
        low_ns=lowest,
        high_ns=highest,
        system_ns=system,
        user_ns=user,
    )


def _check(entries: list[dict[str, Any]], options: dict[str, Any], buffered: bool) -> None:
    """Raise OptionValueError(why) for a group of jobs that says nothing of a device."""
    failed = next((entry["error"] for entry in entries if entry["error"]), 0)
    if failed:
        raise OptionValueError(f"ended with error {failed}", "")
    if options.get("rw") not in ("read", "randread"):
        raise OptionValueError(f"rw={options.get('rw', 'read')} is not read or randread", "")
    for name in (*PACED, *MIXED):
        if str(options.get(name, "0")) not in ("0", "none"):
            raise OptionValueError(f"{name}={options[name]}", "")
    if str(options.get("random_distribution", "random")) != "random":
        raise OptionValueError(f"random_distribution={options['random_distribution']}", "")
    if not (buffered or str(options.get("direct", "0")) == "1"):
        raise OptionValueError(
            "direct is not 1: what the page cache holds would count (--buffered takes it)", ""
        )
    bs = size(str(options.get("bs", "4k")).split(",")[0])
    if bs % SECTOR_BYTES or not 0 < bs <= MOST_BLOCK_BYTES:
        most = f"{MOST_BLOCK_BYTES // MIB} MiB"
        raise OptionValueError(f"bs={bs} is not whole sectors of {SECTOR_BYTES} bytes, up to {most}", "")


def _percentile(reads: list[dict[str, Any]], name: str) -> float | None:
    """Return a percentile of completion latencies with the mean submission; of clones, the mean."""
    found = []
    for read in reads:
        kept = read["clat_ns"].get("percentile", {}).get(name)
        if kept is None:
            return None
        found.append(float(kept) + float(read["slat_ns"]["mean"]))
    return sum(found) / len(found)
