"""
How long writing takes: records of `make truth-ns`, and ns fitted to them.

`writes/native-ns.jsonl` says what passes of writes and the fsync(2) after them took at native speed, in
user-mode Linux. What they call is simulated, and what a call takes in instructions is fitted to other
recordings (write_costs.py). Two steps make ns of it. First the pace: ns of an instruction by group of costs
(instructions of the block layer, many of them atomic, take longer than those of loops over buffer heads), and
of a byte that is copied or cleared. Then each constant's own ns, with what the pace says as its prior.

Besides: what a phase takes more because its code is not in the caches; what a commit takes more (switches
between tasks, which user-mode Linux does in its own way); and a look-up in the tree of extent statuses, for
each time that the tree's size doubles, whose nodes are elsewhere in memory. Left out: what caches do besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import log2
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from sim.calibrate.constants import SELF, Constant
from sim.calibrate.least_squares import Array, fit
from sim.calibrate.measured import Features
from sim.calibrate.stretches import Values
from sim.calibrate.write_costs import (
    FOLDER,
    Phase,
    WriteRecords,
    fit_writes,
    known_of_reads,
    simulated_phases,
)
from sim.calibrate.write_stretches import CALLS, PAGES, PHASE, RIG, SECTORS, THROTTLED
from sim.engine.costs import DEFAULT_MACHINE, load_costs
from sim.errors import ConfigError
from sim.records.json_lines import read_lines
from sim.records.write_volumes import WriteVolume, load_volumes
from sim.units import SECTOR_BYTES

WRITE_TIMES: Final = "native-ns.jsonl"
OUTSIDE: Final = frozenset({PHASE, CALLS, THROTTLED, PAGES, ("entry_SYSCALL_64", SELF)})
"""
What the kernel of the times does not do: it writes by itself, without a program, has no blk-wbt, and null_blk
has all pages of its memory after the first rounds.
"""
COLD: Final[Constant] = ("a phase that begins with cold caches", SELF)
COMMIT: Final[Constant] = ("a commit's switches between tasks", SELF)
DOUBLED: Final[Constant] = ("a look-up, for each time that the tree doubles", SELF)
PACES: Final = {COLD: (3000.0, 20000.0), COMMIT: (5000.0, 20000.0), DOUBLED: (1.0, 5.0)}
"""ns, expected and how wide: of what is no function's."""
AN_INSTRUCTION: Final = (0.16, 0.16)
A_BYTE: Final = (0.02, 0.1)
OWN_WIDTH: Final = 0.5
"""How far a constant's own ns may lie from its group's pace, relatively."""
SIGMA: Final = 0.05
"""Of a phase, relatively: boots lie a few per cent apart."""
_MOVED, _TO_DEVICE, _RIG = "bytes", "bytes to the device", "null_blk"


def has_write_times(folder: Path) -> bool:
    """Tell whether a kernel's folder has recordings of how long writes take."""
    return (folder / FOLDER / WRITE_TIMES).is_file()


def load_write_times(folder: Path) -> list[Phase]:
    """
    Return a steady round of each record in a folder of write recordings, as it is simulated; taken: ns.

    Raises ConfigError for a file that is missing, or a record without its times.
    """
    volumes = load_volumes(folder / "volumes.json")
    path = folder / WRITE_TIMES
    found: list[Phase] = []
    for number, record in enumerate(read_lines(path), start=1):
        try:
            whole = record | {"script": script_of(record)}
            boots = {side: _boots(record[side]) for side in ("write", "sync")}
            volume = volumes[record["image"]]
        except (KeyError, TypeError, ValueError) as error:
            allowed = "see results/kernel/README.md"
            raise ConfigError(f"{path}:{number}", f"is no time of writes ({error!r})", allowed) from error
        taken = {f"{side}2": fmean(medians) for side, medians in boots.items()}
        for phase in simulated_phases(whole, volume, taken):
            features = _features(phase.features, volume, record["file"])
            kind = phase.kind | {"device": record["device"]}
            found.append(replace(phase, kind=kind, features=features, boots=boots[kind["side"]]))
    return found


def _boots(quantiles: dict[str, Any]) -> tuple[float, ...]:
    return tuple(float(ns) for ns in quantiles["ns_per_unit_median_of_boots"])


def script_of(record: dict[str, Any]) -> list[str]:
    """Return what the kernel did, as a script of the write recordings, of three rounds."""
    lines = [f"mount /dev/nullb0 ext4 {record['mount']}", f"open 0 /mnt/{record['file']} rw"]
    lines += [f"fiemap /mnt/{record['file']} before", "sync", "sleep 30", "sync", f"swap 0 {record['path']}"]
    for number in range(3):
        lines += [f"mark write{number}", f"wseq 0 0 {record['length']} {record['total']} 0"]
        lines += [f"mark sync{number}", "fsync 0", "mark -", "dontneed 0", "sync", "sleep 10"]
    return [*lines, "close 0", "umount"]


def _features(counted: Features, volume: WriteVolume, file: str) -> Features:
    """Return what a phase calls there, and what it takes besides."""
    found = {constant: count for constant, count in counted.items() if constant not in OUTSIDE}
    looked_up = counted.get(("ext4_es_lookup_extent", SELF), 0.0)
    known = volume.file(f"/{file}")
    if known is None:
        raise ConfigError(volume.name, f"has no file /{file}", "a file of volumes.json")
    extents = len(known.tree.extents)
    commits = counted.get(("jbd2_journal_commit_transaction", SELF), 0.0)
    return found | {COLD: 1.0, COMMIT: commits, DOUBLED: looked_up * log2(extents)}


def instructions_of(records: WriteRecords) -> Values:
    """Return what constants take in instructions, by the recordings of reads and of writes."""
    known = known_of_reads()
    return known | fit_writes(records.windows, known)


def fit_times(phases: Sequence[Phase], instructions: Values) -> Values:
    """Return ns of constants, fitted to phases. instructions: of constants."""
    constants = _constants(phases, instructions)
    names, shares = _shares(constants, instructions)
    matrix, taken = _matrix(phases, constants)
    prior = shares @ _paces(matrix, taken, names, shares)
    least = shares @ np.array([_expected(name)[0] for name in names])  # a pace may come out as nothing
    fitted = fit(matrix, taken, SIGMA * taken, prior, OWN_WIDTH * np.maximum(prior, least / 2))
    return dict(zip(constants, map(float, fitted), strict=True))


def fit_paces(phases: Sequence[Phase], instructions: Values) -> dict[str, float]:
    """Return ns of an instruction by group of costs, of a byte, and of each of PACES by its words."""
    constants = _constants(phases, instructions)
    names, shares = _shares(constants, instructions)
    return dict(zip(names, map(float, _paces(*_matrix(phases, constants), names, shares)), strict=True))


def _paces(matrix: Array, taken: Array, names: list[str], shares: Array) -> Array:
    """Return ns of each named pace, fitted to what phases took."""
    expected = np.array([_expected(name) for name in names])
    return fit(matrix @ shares, taken, SIGMA * taken, expected[:, 0], expected[:, 1])


def _constants(phases: Sequence[Phase], instructions: Values) -> list[Constant]:
    """Return what phases have, and a measure is known of."""
    had = {constant for phase in phases for constant in phase.features}
    return sorted(constant for constant in had if instructions.get(constant) or constant in PACES)


def _matrix(phases: Sequence[Phase], constants: list[Constant]) -> tuple[Array, Array]:
    """Return counts (phases x constants), and what each phase took."""
    counts = [[phase.features.get(constant, 0.0) for constant in constants] for phase in phases]
    return np.array(counts), np.array([phase.taken for phase in phases])


def _shares(constants: list[Constant], instructions: Values) -> tuple[list[str], Array]:
    """Return names of paces, and how much of each a constant has (constants x names)."""
    parts = [_parts(constant, instructions) for constant in constants]
    names = sorted({name for part in parts for name in part})
    return names, np.array([[part.get(name, 0.0) for name in names] for part in parts])


def _parts(constant: Constant, instructions: Values) -> dict[str, float]:
    """Return what a constant has of each pace: of instructions, of which bytes are some, or of itself."""
    if constant in PACES:
        return {constant[0]: 1.0}
    moved = SECTOR_BYTES if constant == SECTORS else _moved().get(constant, 0.0)
    others = max(instructions[constant] - moved, 0.0)
    return {_TO_DEVICE if constant == SECTORS else _MOVED: moved, _group(constant): others}


def _group(constant: Constant) -> str:
    return _RIG if constant in RIG else load_costs(DEFAULT_MACHINE).costs[constant[0]].group


@cache
def _moved() -> dict[Constant, float]:
    """Return the bytes that a `rep` moves or clears in a call or a unit, each of them an instruction."""
    found: dict[Constant, float] = {}
    for symbol, cost in load_costs(DEFAULT_MACHINE).costs.items():
        found[symbol, SELF] = cost.self_bytes
        if cost.unit:
            found[symbol, cost.unit] = cost.unit_bytes
    return {constant: size for constant, size in found.items() if size}


def _expected(name: str) -> tuple[float, float]:
    """Return the ns that a pace is expected to have, and how wide."""
    if name in (_MOVED, _TO_DEVICE):
        return A_BYTE
    return next((ns for constant, ns in PACES.items() if constant[0] == name), AN_INSTRUCTION)
