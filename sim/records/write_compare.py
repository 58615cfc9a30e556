"""
Recorded write cases against the simulator: every counter of every phase, and every bio that carries data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim.errors import ConfigError
from sim.records.json_lines import read_lines, read_text
from sim.records.write_case import CountedCalls, WriteCase
from sim.records.write_counters import beside_the_writer, left_out
from sim.records.write_script import ScriptRun
from sim.records.write_volumes import load_volumes

VOLUMES: Final = "volumes.json"
PROBES: Final = "probes.txt"
"""
Beside the records: their volumes, and what was counted, a symbol a line; one without calls has no count.
"""
WRITE: Final = 4
"""Of a recorded bio's flags: it writes."""
PHASES: Final = ("write", "sync")
"""The phases that are compared; umount is not simulated."""
NOT_RUN: Final = {
    "many": "makes files: the creation of inodes is not simulated",
    "bdev": "writes a block device's own pages: not simulated",
}
"""Groups of records that are not run, each with why."""


@dataclass(frozen=True, slots=True)
class WriteDifference:
    """A counter, or the bios, of one phase."""

    case: str
    phase: str
    counter: str
    kernel: Any
    simulator: Any


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """How a case came out. compared: how many numbers; left_out: counter -> why."""

    case: WriteCase
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
        if record.get("group") in NOT_RUN:
            continue
        missing = [key for key in ("case", "script", "phases", "bios", "image", "mount") if key not in record]
        if missing:
            raise ConfigError(at, f"has no {missing[0]!r}", "a record of a write case")
        if record["image"] not in volumes:
            raise ConfigError(f"{at}: image", repr(record["image"]), ", ".join(volumes))
        cases.append(WriteCase(record, volumes[record["image"]], at, probes))
    return cases


def compare_write_case(case: WriteCase) -> WriteOutcome:
    """Run a case and hold it against its record."""
    run = ScriptRun(case, CountedCalls())
    run.run()
    ours = {phase.name: phase.counts for phase in run.phases}
    converts = any(counts.get("ext4_convert_unwritten_extents") for counts in ours.values())
    journal = run.writer.journal
    waits = journal is not None and journal.reserve_waits > 0
    out = left_out(case.record, case.probes, converts, waits)
    differences: list[WriteDifference] = []
    compared = 0
    for numbers, name, recorded, counted in _phases(case, ours):
        for counter in sorted(recorded.keys() | (counted.keys() & case.probes)):
            if counter in out:
                continue
            compared += 1
            kernel, simulator = recorded.get(counter, 0), counted.get(counter, 0)
            if kernel != simulator:
                differences.append(WriteDifference(case.name, name, counter, kernel, simulator))
        if beside_the_writer(case.record):
            continue
        compared += 1
        wrote = sorted(_recorded_data(case.record, numbers))
        written = sorted(
            (bio.sector, bio.sectors)
            for bio in run.bios
            if bio.phase in numbers and "W" in bio.rwbs and "M" not in bio.rwbs and bio.sectors
        )
        if wrote != written:
            differences.append(
                WriteDifference(case.name, name, "data bios", _first(wrote, written), _first(written, wrote))
            )
    return WriteOutcome(case, tuple(differences), compared, out)


def _phases(
    case: WriteCase, ours: dict[str, dict[str, int]]
) -> Iterator[tuple[tuple[int, ...], str, dict[str, int], dict[str, int]]]:
    """Yield (numbers, name, recorded, ours) of what is compared: each phase, or all together."""
    names = [phase["name"] for phase in case.record["phases"]]
    compared = [name for name in names if name in PHASES and name in ours]
    if not beside_the_writer(case.record):
        for name in compared:
            yield (names.index(name),), name, case.phase(name), ours[name]
        return
    recorded: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for name in compared:
        recorded.update(case.phase(name))
        counted.update(ours[name])
    yield tuple(map(names.index, compared)), "+".join(compared), dict(recorded), dict(counted)


def _recorded_data(record: dict[str, Any], numbers: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    for bio in record["bios"]:
        if bio[0] in numbers and bio[5] == "d" and bio[3] & WRITE:
            for at in range(bio[6] if len(bio) > 6 else 1):
                yield bio[1] + at * bio[2], bio[2]


def _first(bios: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> str:
    """Return how many bios there are, and the first that the others have not."""
    rest = set(others)
    odd = next((bio for bio in bios if bio not in rest), None)
    return f"{len(bios)} bios" + (f", one of {odd[1]} sectors at {odd[0]}" if odd else "")


def validate_writes(cases: Sequence[WriteCase], watch: Callable[[WriteCase], None]) -> list[WriteOutcome]:
    """Run all cases; `watch` is told of each."""
    outcomes = []
    for case in cases:
        watch(case)
        outcomes.append(compare_write_case(case))
    return outcomes
