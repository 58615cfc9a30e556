"""
The fit: constants from records.

Instructions are measured per recorded symbol, so they are fitted symbol by symbol: what a recorded symbol
took on each case against how often each of its constants was charged. A symbol that stands alone and has no
unit needs no fit: instructions over calls.

Nanoseconds are measured per case and per hot loop only. Whole cases do not tell symbols apart that always
come together, so the fit starts from a prior: the instructions of each constant at one pace (`pace`, ns an
instruction, the best single one), within 30 %, which is how far hot loops lie from it. Cases and hot loops
then move the constants away from it where they say so, and none below the pace of the quickest hot loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sim.calibrate.constants import DRIVEN, MODEL, READS, SELF, STACKED, SYMBOLS, Constant
from sim.calibrate.least_squares import fit, standard_errors
from sim.calibrate.loops import BYTE_CONSTANTS, REP_BYTES, byte_loops, loop_features
from sim.calibrate.measured import Features, Measured
from sim.calibrate.records import CostRecords

Values = dict[Constant, float]
Keep = Callable[[int, str], bool]
"""Whether records of a block size and layout are fitted to."""

SHARED = {
    ("ext4_mpage_readpages", "page"): ("mpage_readahead", "page"),
    ("cbc_decrypt_128", SELF): ("cbc_decrypt", SELF),
}
"""A constant that the recordings do not separate from others, and the one that is the same code."""
STATED: Values = {
    ("copy_page_to_iter", "byte"): 1.0,
    ("folio_zero_segment", "byte"): 0.125,
    ("zero_user_segments", "byte"): 0.125,
    ("alloc_buffer_head", SELF): 265.8,
    ("ext4_es_cache_extent", SELF): 89.9,
}
"""
Instructions of what these cases always do together: rep movsb is one a byte, rep stosq one in 8. A head of a
slab page that is there, and an extent that is known already: writes/symbols.jsonl, instructions over calls
(heads: rewrites in 2 and 4 KiB blocks, the same in all but 3 of their 28 phases).
"""

CASE_SIGMA, LOOP_SIGMA = 0.03, 0.3
"""
Relative. How far a whole case repeats (README of the records). How far the cost in place may be from that
in a hot loop: twice as much was seen (an extent look-up among 16,384).
"""
PRIOR_WIDTH = 0.3
"""Relative: how far a constant's ns may be from its instructions at the pace (a standard error)."""
LONG_REP, UNIT_REP = 512, 16
"""From so many bytes a call, or a unit, on a `rep` is worth its bytes; a shorter one, its instructions."""


def everything(_block_size: int, _layout: str) -> bool:
    """Keep every record."""
    return True


def constants_of(symbol: str) -> list[Constant]:
    """Return a symbol's constants: its self cost, and that of its unit if it has one."""
    unit = MODEL[symbol].unit
    return [(symbol, SELF), (symbol, unit)] if unit else [(symbol, SELF)]


@dataclass(frozen=True, slots=True)
class Fitted:
    """
    instructions, ns: by constant. sigma: standard errors of the ns that are fitted; the others are
    instructions at `pace`, ns an instruction. rep_bytes: of the instructions, those that are bytes of a long
    `rep`, which go at the pace of memset. around: instructions a call that a cipher takes around its
    assembler code. byte_ns: of memcpy in a hot loop.
    """

    instructions: Values
    ns: Values
    sigma: Values
    pace: float
    rep_bytes: Values = field(default_factory=dict)
    around: dict[str, float] = field(default_factory=dict)
    byte_ns: float = 0.0


def fit_instructions(records: CostRecords, keep: Keep = everything) -> Values:
    """
    Return the instructions of every constant that the records of kept cases measure.

    What is around a cipher and in opening a file has records of its own, and these are few: all are kept.
    """
    cases_of = {
        READS: [case for case in records.symbols if keep(case.block_size, case.layout)],
        STACKED: [case for case in (*records.stacked, *records.opens) if case.fitted],
        DRIVEN: [case for case in records.driven if case.fitted and keep(case.block_size, case.layout)],
    }
    found: Values = {}
    within: dict[tuple[str, str], list[Constant]] = {}
    for entry in SYMBOLS:
        if entry.within:
            within.setdefault((entry.within, entry.record), []).extend(constants_of(entry.symbol))
    for (recorded, file), constants in sorted(
        within.items(), key=lambda item: item[0][0] == "ext4_mpage_readpages"
    ):
        cases = cases_of[file]
        if len(constants) == 1:
            calls = sum(case.calls.get(recorded, 0.0) for case in cases)
            if calls:
                found[constants[0]] = sum(case.symbols.get(recorded, 0.0) for case in cases) / calls
        else:
            found |= _fit_symbol(recorded, constants, cases, found)
    return found | _drops(records)


def _long_reps(records: CostRecords) -> Values:
    """
    Return the bytes a call that symbols clear or copy, where STACKED has them and they are many.

    Symbols with a second constant that the bytes could be of are left out.
    """
    found: Values = {}
    alone = Counter(entry.within for entry in SYMBOLS)
    for entry in SYMBOLS:
        if entry.unit or entry.within != entry.symbol or alone[entry.within] > 1:
            continue
        cases = records.stacked if entry.record == READS else [*records.stacked, *records.opens]
        calls = sum(case.calls.get(entry.within, 0.0) for case in cases)
        moved = sum(case.rep_bytes.get(entry.within, 0.0) for case in cases)
        if calls and moved / calls >= LONG_REP:
            found[entry.symbol, SELF] = moved / calls
    return found


def _driver_reps(records: CostRecords) -> Values:
    """Return the bytes that drivers clear in long `rep`s: a call's, and a unit's where many make one."""
    cases = [case for case in records.driven if case.fitted]
    found: Values = {}
    for recorded in sorted({symbol for case in cases for symbol, count in case.rep_bytes.items() if count}):
        entries = [entry for entry in SYMBOLS if entry.within == recorded and entry.record == DRIVEN]
        constants = [constant for entry in entries for constant in constants_of(entry.symbol)]
        moved = _solved(constants, cases, [case.rep_bytes.get(recorded, 0.0) for case in cases])
        found |= {c: n for c, n in moved.items() if n >= (LONG_REP if c[1] == SELF else UNIT_REP)}
    return found


def _around(records: CostRecords) -> dict[str, float]:
    """Return, by cipher, the instructions of a call around its assembler code: their mean over cases."""
    found: dict[str, list[float]] = {}
    for case in records.stacked:
        for cipher, instructions in case.around.items():
            found.setdefault(cipher, []).append(instructions)
    return {cipher: sum(values) / len(values) for cipher, values in found.items()}


def _fit_symbol(recorded: str, constants: list[Constant], cases: list[Measured], known: Values) -> Values:
    """Fit the constants of one recorded symbol to what it took on the cases that charge any of them."""
    given = {constant: known[like] for constant, like in SHARED.items() if constant in constants}
    given |= {constant: value for constant, value in STATED.items() if constant in constants}
    free = [constant for constant in constants if constant not in given]
    taken = [
        case.symbols.get(recorded, 0.0) - predict(case.features, given) if recorded in case.symbols else None
        for case in cases
    ]
    return _solved(free, cases, taken) | given


def _solved(free: list[Constant], cases: list[Measured], taken: Sequence[float | None]) -> Values:
    """Return what constants are worth, by what cases took of them; None: the case does not say."""
    rows, values = [], []
    for case, value in zip(cases, taken, strict=True):
        row = [case.features.get(constant, 0.0) for constant in free]
        if any(row) and value is not None:
            rows.append(row)
            values.append(value)
    used = [j for j in range(len(free)) if any(row[j] for row in rows)]
    if not used:
        return {}
    matrix = np.array([[row[j] for j in used] for row in rows])
    sigma = np.maximum(0.003 * np.abs(values), 0.5)
    zero, wide = np.zeros(len(used)), np.full(len(used), 1e5)
    x = fit(matrix, np.array(values), sigma, zero, wide)
    return {free[j]: float(value) for j, value in zip(used, x, strict=True)}


def _drops(records: CostRecords) -> Values:
    """Return what dropping a page, its buffers and a buffer head takes."""
    plain = [
        sum(c.symbols.values()) - c.symbols["entry_SYSCALL_64"] for c in records.drops if c.path != "buffer"
    ]
    with_heads = [c for c in records.drops if c.path == "buffer"]
    heads = {symbol: _per_call(with_heads, symbol) for symbol in ("try_to_free_buffers", "free_buffer_head")}
    return {("shrink_folio_list", SELF): sum(plain) / len(plain)} | {(s, SELF): x for s, x in heads.items()}


def _per_call(cases: list[Measured], symbol: str) -> float:
    return sum(c.symbols[symbol] for c in cases) / sum(c.calls[symbol] for c in cases)


def fit_costs(records: CostRecords, keep: Keep = everything) -> Fitted:
    """
    Return all constants, fitted to the records of kept cases, in three steps.

    Instructions; then ns of the read path itself, on the device that neither copies nor queues, and of hot
    loops; then, with those given, ns of what only the other devices have: their copy and the request queue.
    """
    instructions = fit_instructions(records, keep)
    problem = equations(records, instructions, keep)
    found = solve(problem)
    ns = {constant: value for constant, (value, _) in found.items()}
    sigma = {constant: error for constant, (_, error) in found.items()}
    unmeasured = {constant: value for constant, value in problem.prior.items() if constant not in ns}
    long = _long_reps(records) | _driver_reps(records)
    reps = {constant: count for constant, count in long.items() if constant in unmeasured}
    for constant, count in reps.items():
        unmeasured[constant] -= (problem.pace - problem.moved["folio_zero_range", "byte"]) * count
    byte_ns = problem.moved["copy_page_to_iter", "byte"]
    return Fitted(instructions, ns | unmeasured, sigma, problem.pace, reps, _around(records), byte_ns)


class Row(NamedTuple):
    """One equation: what a case charges, what it took, how far that is to be believed; "" for a hot loop."""

    features: Features
    ns: float
    sigma: float
    layout: str = ""


@dataclass(frozen=True, slots=True)
class Equations:
    """
    What the ns are fitted to: rows of the RAM device that copies nothing, with hot loops, and of the others.

    prior: ns of each constant; floor: the least they can be; moved: ns of bytes in hot loops; pace: ns an
    instruction.
    """

    own: list[Row]
    others: list[Row]
    prior: Values
    floor: Values
    moved: Values
    pace: float


def equations(records: CostRecords, instructions: Values, keep: Keep = everything) -> Equations:
    """Return what the ns of kept cases and loops say, and what is known before them."""
    cases = [case for case in records.times.cases if keep(case.block_size, case.layout)]
    rows = [Row(case.features, case.value, CASE_SIGMA * case.value, case.layout) for case in cases]
    own = [row for row, case in zip(rows, cases, strict=True) if case.device == "ram"]
    others = [row for row, case in zip(rows, cases, strict=True) if case.device != "ram"]
    loops = [
        Row(features, loop.ns, LOOP_SIGMA * loop.ns)
        for loop in records.times.loops
        if (features := loop_features(loop)) and keep(loop.block_size, loop.layout)
    ]
    moved = byte_loops(records.times.loops)
    pace = _pace([*own, *loops], instructions, moved)
    prior: Values = {constant: pace * count for constant, count in instructions.items()} | moved
    byte_ns = moved["copy_page_to_iter", "byte"]
    prior |= {
        constant: prior[constant] + (byte_ns - pace) * of_reps
        for constant, of_reps in REP_BYTES.items()
        if constant in prior
    }
    floor = quickest_pace(records, instructions)
    least = {
        constant: min(floor * (count - REP_BYTES.get(constant, 0)), prior[constant])
        for constant, count in instructions.items()
        if constant not in BYTE_CONSTANTS
    }
    return Equations([*own, *loops], others, prior, least, moved, pace)


def quickest_pace(records: CostRecords, instructions: Values) -> float:
    """
    Return the ns an instruction of the quickest hot loop, bytes of a `rep` apart.

    Nothing that the kernel does in a loop alone, with all it needs in the nearest cache, goes faster, so no
    constant in place may. Without this, least squares give what they cannot tell apart to one of the two: 11
    ns to alloc_buffer_head's 448 instructions, none to ext4_ext_map_blocks' 304.
    """
    return min(loop_paces(records, instructions).values())


def loop_paces(records: CostRecords, instructions: Values) -> dict[str, float]:
    """Return the ns an instruction, by the name of the loop, of all hot loops that move no bytes."""
    return {
        loop.name: loop.ns / predict(features, instructions)
        for loop in records.times.loops
        if (features := loop_features(loop)) and not features.keys() & BYTE_CONSTANTS
    }


def solve(problem: Equations) -> dict[Constant, tuple[float, float]]:
    """Return value and standard error of every constant that the equations charge."""
    found = _fit_rows(problem.own, problem.prior, {}, problem.floor)
    device = {constant: value for constant, value in problem.prior.items() if constant not in found}
    return found | _fit_rows(problem.others, device, found, problem.floor)


def _pace(rows: list[Row], instructions: Values, moved: Values) -> float:
    """Return the ns an instruction takes, the best single figure for all rows; bytes moved take their own."""
    others = {constant: count for constant, count in instructions.items() if constant not in BYTE_CONSTANTS}
    counts = [predict(row.features, others) for row in rows]
    speed = np.array([count / row.sigma for count, row in zip(counts, rows, strict=True)])
    rest = np.array([(row.ns - predict(row.features, moved)) / row.sigma for row in rows])
    return float(speed @ rest / (speed @ speed))


def _fit_rows(
    rows: list[Row], prior: Values, known: dict[Constant, tuple[float, float]], floor: Values
) -> dict[Constant, tuple[float, float]]:
    """Return value and standard error of the constants of `prior` that the rows charge; `known` are given."""
    used = sorted({constant for row in rows for constant in row.features if constant in prior} - known.keys())
    if not used:
        return {}
    given = {constant: value for constant, (value, _) in known.items()}
    matrix = np.array([[row.features.get(constant, 0.0) for constant in used] for row in rows])
    values = np.array([row.ns - predict(row.features, given) for row in rows])
    sigma = np.array([row.sigma for row in rows])
    expected = np.maximum([prior[constant] for constant in used], 1e-4)
    least = np.array([floor.get(constant, 0.0) for constant in used])
    x = least + fit(matrix, values - matrix @ least, sigma, expected - least, PRIOR_WIDTH * expected)
    error = standard_errors(matrix, sigma, PRIOR_WIDTH * expected)
    return {c: (float(v), float(e)) for c, v, e in zip(used, x, error, strict=True)}


def predict(features: Features, values: Values) -> float:
    """Return what a case costs per 4 KiB."""
    return sum(count * values.get(constant, 0.0) for constant, count in features.items())
