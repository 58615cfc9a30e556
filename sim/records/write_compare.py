"""
Recorded write cases against the simulator: every counter and every bio of every phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from sim.block.opf import REQ_META, rwbs
from sim.errors import ConfigError
from sim.records.bdev_script import BdevRun
from sim.records.json_lines import read_lines, read_text
from sim.records.write_bios import BioSeen, recorded_bios
from sim.records.write_case import CountedCalls, WriteCase
from sim.records.write_counters import (
    ALL_BIOS,
    ALL_BUT_DATA,
    FLUSHES,
    IN_PLACE_AND_FLUSHES,
    NOT_COMPARED,
    NOTHING,
    OF_THE_JOURNAL,
    UMOUNT,
    Happened,
    beside_the_writer,
    bios_left_out,
    left_out,
)
from sim.records.write_script import ScriptRun
from sim.records.write_volumes import load_volumes

VOLUMES: Final = "volumes.json"
PROBES: Final = "probes.txt"
"""
Beside the records: their volumes, and what was counted, a symbol a line; one without calls has no count.
"""
RAW: Final = "raw"
"""The mode of a record without a file system."""
PHASES: Final = ("write", "sync", "umount", "close")
"""The phases that are compared."""
BORDERED: Final = ("write", "sync")
"""Those between which, if the journal's thread runs beside the writer, the border is time's."""


@dataclass(frozen=True, slots=True)
class WriteDifference:
    """A counter, or the bios, of one phase."""

    case: str
    phase: str
    counter: str
    kernel: Any
    simulator: Any


class Compared(Protocol):
    """A case that is told of: its name, and its record with mode, path and block_size."""

    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The record's own name."""
        ...


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """How a case came out. compared: how many numbers; left_out: counter -> why."""

    case: Compared
    differences: tuple[WriteDifference, ...]
    compared: int
    left_out: dict[str, str]


def load_write_cases(path: Path) -> list[WriteCase]:
    """
    Return the cases of a file of write recordings; VOLUMES and PROBES lie beside it.

    Raises ConfigError for a file that is not readable or not of this form.
    """
    volumes = load_volumes(path.parent / VOLUMES)
    probes = frozenset(read_text(path.parent / PROBES).split())
    cases = []
    for number, record in enumerate(read_lines(path), start=1):
        at = f"{path}:{number}"
        missing = [key for key in ("case", "script", "phases", "bios", "image", "mount") if key not in record]
        if missing:
            raise ConfigError(at, f"has no {missing[0]!r}", "a record of a write case")
        if record["image"] not in volumes:
            raise ConfigError(f"{at}: image", repr(record["image"]), ", ".join(volumes))
        cases.append(WriteCase(record, volumes[record["image"]], at, probes))
    return cases


def compare_write_case(case: WriteCase) -> WriteOutcome:
    """Run a case and hold it against its record."""
    run = BdevRun(case, CountedCalls()) if case.record["mode"] == RAW else ScriptRun(case, CountedCalls())
    run.run()
    ours = {phase.name: phase.counts for phase in run.phases}
    happened = _happened(run, ours)
    differences: list[WriteDifference] = []
    compared = 0
    out: dict[str, str] = {}
    log = case.volume.journal_sectors
    for numbers, name, recorded, counted in _phases(case, ours):
        mine = left_out(case.record, case.probes, name, happened)
        which, why = bios_left_out(case.record, name, happened)
        if which != NOTHING:
            mine[which] = why
        for counter, reason in mine.items():
            out.setdefault(counter if counter in NOT_COMPARED else f"{name}: {counter}", reason)
        for counter in sorted(recorded.keys() | (counted.keys() & case.probes)):
            if counter in mine:
                continue
            compared += 1
            kernel, simulator = recorded.get(counter, 0), counted.get(counter, 0)
            if kernel != simulator:
                differences.append(WriteDifference(case.name, name, counter, kernel, simulator))
        if which == ALL_BIOS:
            continue
        compared += 1
        wrote = sorted(_of_phases(recorded_bios(case.record), numbers, which, log))
        written = sorted(_of_phases(run.bios, numbers, which, log))
        if wrote != written:
            differences.append(
                WriteDifference(case.name, name, "bios", _first(wrote, written), _first(written, wrote))
            )
    return WriteOutcome(case, tuple(differences), compared, out)


def _happened(run: BdevRun | ScriptRun, ours: dict[str, dict[str, int]]) -> Happened:
    """Return what of a run decides what can be compared."""
    return Happened(
        run.ticks,
        run.writes,
        run.grew,
        any(counts.get("ext4_convert_unwritten_extents") for counts in ours.values()),
        isinstance(run, ScriptRun) and run.waited_for_credits(),
        ours.get(UMOUNT, {}).get("jbd2_journal_commit_transaction", 0) > 0,
        ours.get(UMOUNT, {}).get("ext4_convert_unwritten_extents", 0) > 0,
        run.all_simulated,
        run.case.volume.makes_bitmaps(),
    )


def _phases(
    case: WriteCase, ours: dict[str, dict[str, int]]
) -> Iterator[tuple[tuple[int, ...], str, dict[str, int], dict[str, int]]]:
    """Yield (numbers, name, recorded, ours) of what is compared: each phase, or those of writing together."""
    names = [phase["name"] for phase in case.record["phases"]]
    compared = [name for name in names if name in PHASES and name in ours]
    together = [name for name in compared if name in BORDERED] if beside_the_writer(case.record) else []
    if together:
        recorded: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        for name in together:
            recorded.update(case.phase(name))
            counted.update(ours[name])
        yield tuple(map(names.index, together)), "+".join(together), dict(recorded), dict(counted)
    for name in compared:
        if name not in together:
            yield (names.index(name),), name, case.phase(name), ours[name]


def _of_phases(
    bios: Iterable[BioSeen], phases: tuple[int, ...], which: str, log: frozenset[int]
) -> Iterator[BioSeen]:
    """Yield those of these phases that are compared. which: are left out. log: the sectors of the journal."""
    for bio in bios:
        journalled = bool(bio.sectors) and bio.sector in log
        data = bool(bio.sectors) and not bio.opf & REQ_META and not journalled
        kept = {
            NOTHING: True,
            FLUSHES: bool(bio.sectors),
            OF_THE_JOURNAL: bool(bio.sectors) and not journalled,
            IN_PLACE_AND_FLUSHES: data or journalled,
            ALL_BUT_DATA: data,
        }
        if bio.phase in phases and kept[which]:
            yield bio


def _first(bios: Sequence[BioSeen], others: Sequence[BioSeen]) -> str:
    """Return how many bios there are, and the first that the others have not."""
    rest = Counter(bios) - Counter(others)
    if not rest:
        return f"{len(bios)} bios"
    odd = min(rest)
    return f"{len(bios)} bios, one of {odd.sectors} sectors at {odd.sector}, {rwbs(odd.opf)} ({odd.opf})"


def validate_writes(cases: Sequence[WriteCase], watch: Callable[[WriteCase], None]) -> list[WriteOutcome]:
    """Run all cases; `watch` is told of each."""
    outcomes = []
    for case in cases:
        watch(case)
        outcomes.append(compare_write_case(case))
    return outcomes
