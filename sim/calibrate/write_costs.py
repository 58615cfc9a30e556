"""
What writing costs, in instructions: the cases of the recordings simulated, and constants fitted to them.

`writes/symbols.jsonl` says what each function took in each phase of a case: constants are fitted to it.
`writes/instructions.jsonl` says what whole phases took, in boots of their own: it is predicted, never fitted
to. What reads have measured already is taken from there, but for functions that a write takes otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim.block.opf import REQ_OP_WRITE
from sim.calibrate.constants import SELF, Constant
from sim.calibrate.measured import Features
from sim.calibrate.stretches import Values, Window, complete, fit_stretches
from sim.calibrate.write_stretches import (
    CALLS,
    PAGES,
    PHASE,
    REQUESTS,
    RIG,
    SECTORS,
    SEGMENTS,
    STRETCHES,
    THROTTLED,
)
from sim.engine.costs import DEFAULT_MACHINE, WRITES, Cost, CostTable, load_costs
from sim.engine.pace import MILLI
from sim.records.counted_machine import WRITTEN, PhaseCounts
from sim.records.json_lines import read_lines
from sim.records.write_case import WriteCase
from sim.records.write_script import ScriptRun
from sim.records.write_volumes import WriteVolume, load_volumes
from sim.units import KIB, PAGE_BYTES, PAGE_SECTORS

FOLDER: Final = "writes"
SYMBOLS, INSTRUCTIONS = "symbols.jsonl", "instructions.jsonl"
COPY: Final[Constant] = ("copy_page_from_iter_atomic", "byte")
STATED: Final[Values] = {COPY: 1.0, ("jbd2_journal_get_descriptor_buffer", "byte"): 1.0}
"""Instructions of a byte that `rep movsb` copies or `rep stosb` clears."""
AS_READ: Final = {"xts_encrypt": "xts_decrypt", "crypto_skcipher_encrypt": "crypto_skcipher_decrypt"}
"""The same code the other way round: in one block size only, as writes have it, its bytes cannot be told."""
IN_FLIGHT: Final = 16
"""Requests of write-back that blk-wbt lets a queue of null_blk have at once."""
UNITS: Final = {"copy_page_from_iter_atomic": "byte", "jbd2_journal_get_descriptor_buffer": "byte"}
UNITS_TOO: Final = {"mpage_process_page_bufs": "buffer", "xts_encrypt": "byte"}
DEVICES: Final = {"ram": "wtram", "null_blk": "nullb-nocache"}
"""Of a record, and of the write cases: instructions were recorded on the latter."""
COPIED_BYTES: Final = 64 * KIB
"""The rig copies an image to null_blk in pieces of so many bytes, those that are not zeros."""
ROUNDS: Final = ("1", "2")
"""The rounds of a recording that are compared: code and metadata of the first are cold."""


class Counting(CostTable):
    """A table in which every call takes a nanosecond, so that the device is done before a task looks."""

    def __init__(self) -> None:
        super().__init__("counting", {})

    def __getitem__(self, symbol: str) -> Cost:
        """Return the cost of a call."""
        return Cost(symbol, MILLI, 0, unit_of(symbol), "writes", 0.0, "counted")

    def extended(self, whose: str, entries: Mapping[str, Mapping[str, Any]]) -> CostTable:
        """Return itself: what a path adds costs the same."""
        del whose, entries
        return self


def unit_of(symbol: str) -> str:
    """Return the unit that a symbol of the write path is charged by, "" if it has none."""
    units = UNITS | UNITS_TOO
    known = load_costs(DEFAULT_MACHINE).costs
    return units.get(symbol) or (known[symbol].unit if symbol in known else "")


@dataclass(frozen=True, slots=True)
class Phase:
    """
    One phase of a case: what it is, what the simulator calls there, what was measured of it as a whole.

    taken: instructions, or ns; boots: the same of each boot, where there are several.
    """

    case: str
    name: str
    kind: dict[str, str]
    pages: float
    features: Features
    taken: float
    boots: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteRecords:
    """phases: of all cases. windows: the same phases by symbol, those that were recorded so."""

    phases: list[Phase]
    windows: list[Window]


def known_of_reads() -> Values:
    """Return the constants that recordings of reads have measured."""
    assumed = load_costs(WRITES).costs
    costs = load_costs(DEFAULT_MACHINE).costs
    measured = {symbol: cost for symbol, cost in costs.items() if symbol not in assumed}
    measured |= {symbol: costs[other] for symbol, other in AS_READ.items()}
    found: Values = dict(STATED)
    for symbol, cost in measured.items():
        found[symbol, SELF] = cost.self_mi / MILLI
        if cost.unit:
            found[symbol, cost.unit] = cost.unit_mi / MILLI
    return found


def has_writes(folder: Path) -> bool:
    """Tell whether a kernel's folder has recordings of writes by symbol."""
    return (folder / FOLDER / SYMBOLS).is_file()


def load_write_records(folder: Path) -> WriteRecords:
    """Return the records of a kernel's folder, simulated. Raises ConfigError for a file that is missing."""
    place = folder / FOLDER
    volumes = load_volumes(place / "volumes.json")
    phases: list[Phase] = []
    for record in read_lines(place / INSTRUCTIONS):
        taken = {phase["name"]: float(phase["instructions"]) for phase in record["phases"]}
        phases += simulated_phases(record, volumes[record["image"]], taken)
    by_name = {(phase.case, phase.name): phase for phase in phases}
    windows = []
    for record in read_lines(place / SYMBOLS):
        phase = by_name[record["case"], record["phase"]]
        taken = {symbol: float(pair[1]) for symbol, pair in record["symbols"].items()}
        taken |= {symbol: float(pair[1]) for symbol, pair in record["outside"].items()}
        taken["user"] = float(record["user"])
        windows.append(Window(f"{phase.case} {phase.name}", phase.kind, phase.features, taken))
    return WriteRecords(phases, windows)


def simulated_phases(
    record: Mapping[str, Any], volume: WriteVolume, taken: Mapping[str, float]
) -> list[Phase]:
    """Return the phases of a record's script that `taken` has the measure of, with what they call here."""
    run = ScriptRun(WriteCase(_as_a_case(record, taken), volume, record["case"]), Counting())
    run.run()
    kind = {"block size": str(record["block_size"])}
    kind |= {word: record[word] for word in ("mode", "path", "file", "kind")}
    found = []
    for number, phase in enumerate(run.phases):
        side = phase.name.rstrip("012")
        if phase.name in taken and side in ("write", "sync") and phase.name[-1] in ROUNDS:
            features = _features(phase, _new_pages(run, number))
            pages = record["total"] / PAGE_BYTES
            found.append(
                Phase(record["case"], phase.name, kind | {"side": side}, pages, features, taken[phase.name])
            )
    return found


def fit_writes(windows: list[Window], known: Mapping[Constant, float]) -> Values:
    """Return the constants of writing, those of the rig among them."""
    return fit_stretches(windows, complete(STRETCHES, windows, known), known)


def _as_a_case(record: Mapping[str, Any], taken: Mapping[str, float]) -> dict[str, Any]:
    """Return a record of what phases took in the words of a write case."""
    phases = [{"counts": {}, "name": name} for name in taken]
    return dict(record) | {
        "mount": record["script"][0].split()[-1],
        "device": DEVICES[record.get("device", "null_blk")],
        "bios": [],
        "sync": "fsync",
        "group": "instructions",
        "phases": phases,
    }


def _features(phase: PhaseCounts, pages: int) -> Features:
    """Return what a phase calls, and its quantities of the rig."""
    counts = dict(phase.counts)
    sectors = counts.pop(WRITTEN, 0)
    counts.pop("bio_split", None)
    features: Features = {(symbol, SELF): float(count) for symbol, count in counts.items()}
    for symbol, count in phase.units.items():
        if symbol != WRITTEN:
            features[symbol, unit_of(symbol)] = float(count)
    requests = counts.get("null_queue_rq", 0)
    beyond = requests - counts.get("jbd2_journal_next_log_block", 0) - IN_FLIGHT
    rig = {
        SECTORS: sectors,
        PAGES: pages,
        REQUESTS: requests,
        SEGMENTS: phase.units.get("blk_update_request", 0),
        PHASE: 1,
        CALLS: counts.get("entry_SYSCALL_64", 0),
        THROTTLED: max(beyond, 0),
    }
    return features | {quantity: float(count) for quantity, count in rig.items() if count}


def _new_pages(run: ScriptRun, number: int) -> int:
    """Return how many pages of the device a phase was the first to write: null_blk allocates these."""
    seen = _copied_pages(run)
    found = 0
    for bio in run.bios:
        if bio.opf & REQ_OP_WRITE and bio.sectors:
            pages = set(range(bio.sector // PAGE_SECTORS, -(-(bio.sector + bio.sectors) // PAGE_SECTORS)))
            found += len(pages - seen) if bio.phase == number else 0
            seen |= pages
    return found


def _copied_pages(run: ScriptRun) -> set[int]:
    """
    Return the pages that the rig wrote when it copied the image: the pieces with metadata.

    It leaves out pieces of zeros, and so most of the log, and the files' blocks.
    """
    volume = run.case.volume
    blocks = {*volume.mounted_blocks(), *volume.journal_places()[:1]}
    pieces = {block * volume.block_size // COPIED_BYTES for block in blocks}
    per = COPIED_BYTES // PAGE_BYTES
    return {page for piece in pieces for page in range(piece * per, (piece + 1) * per)}


def of_a_profile(values: Mapping[Constant, float], known: Mapping[Constant, float]) -> Values:
    """Return the constants of the profile of writes: what is fitted, but the rig's; stated; or as read."""
    given = {constant: known[constant] for constant in known if constant in STATED or constant[0] in AS_READ}
    return {constant: value for constant, value in values.items() if constant not in RIG} | given
