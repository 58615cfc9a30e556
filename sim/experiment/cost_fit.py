"""
The fit: constants from records.

Instructions are measured per recorded symbol, so they are fitted symbol by symbol: what a recorded symbol
took on each case against how often each of its constants was charged. A symbol that stands alone and has no
unit needs no fit: instructions over calls.

Nanoseconds are measured per case and per hot loop only. Whole cases do not tell symbols apart that always
come together, so the fit starts from a prior: the instructions of each constant at one pace (`pace`, ns an
instruction, the best single one), within half or twice. Cases and hot loops then move the constants away
from it where they say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.experiment.cost_loops import BYTE_LOOPS, loop_features
from sim.experiment.cost_model import MODEL, NULL_COPY, SELF, SYMBOLS, Constant
from sim.experiment.cost_records import CostRecords, Features, Measured
from sim.experiment.least_squares import fit

Values = dict[Constant, float]
Keep = Callable[[int, str], bool]
"""Whether records of a block size and layout are fitted to."""

SHARED = {("ext4_mpage_readpages", "page"): ("mpage_readahead", "page")}
"""Two constants that the recordings do not separate from others, and the one that has the same code."""

CASE_SIGMA, LOOP_SIGMA = 0.03, 0.10
"""Relative: how far a whole case repeats (README of the records), and how far a hot loop is what it is in place."""
PRIOR_WIDTH = 0.5


def everything(_block_size: int, _layout: str) -> bool:
    """Keep every record."""
    return True


def constants_of(symbol: str) -> list[Constant]:
    """Return a symbol's constants: its self cost, and that of its unit if it has one."""
    unit = MODEL[symbol].unit
    return [(symbol, SELF), (symbol, unit)] if unit else [(symbol, SELF)]


@dataclass(frozen=True, slots=True)
class Fitted:
    """instructions, ns: by constant. pace: ns an instruction. measured: constants that a record speaks of."""

    instructions: Values
    ns: Values
    pace: float
    measured: frozenset[Constant]


def fit_instructions(records: CostRecords, keep: Keep = everything) -> Values:
    """Return the instructions of every constant that the records of kept cases measure."""
    cases = [case for case in records.symbols if keep(case.block_size, case.layout)]
    found: Values = {}
    within: dict[str, list[Constant]] = {}
    for entry in SYMBOLS:
        if entry.within:
            within.setdefault(entry.within, []).extend(constants_of(entry.symbol))
    for recorded, constants in sorted(within.items(), key=lambda item: item[0] == "ext4_mpage_readpages"):
        if len(constants) == 1:
            calls = sum(case.calls.get(recorded, 0.0) for case in cases)
            if calls:
                found[constants[0]] = sum(case.symbols.get(recorded, 0.0) for case in cases) / calls
        else:
            found |= _fit_symbol(recorded, constants, cases, found)
    return found | _drops(records)


def _fit_symbol(recorded: str, constants: list[Constant], cases: list[Measured], known: Values) -> Values:
    """Fit the constants of one recorded symbol to what it took on the cases that charge any of them."""
    given = {constant: known[like] for constant, like in SHARED.items() if constant in constants}
    free = [constant for constant in constants if constant not in given]
    rows, values = [], []
    for case in cases:
        row = [case.features.get(constant, 0.0) for constant in free]
        if any(row) and recorded in case.symbols:
            rows.append(row)
            taken = sum(case.features.get(constant, 0.0) * value for constant, value in given.items())
            values.append(case.symbols[recorded] - taken)
    used = [j for j in range(len(free)) if any(row[j] for row in rows)]
    if not used:
        return {}
    matrix = np.array([[row[j] for j in used] for row in rows])
    sigma = np.maximum(0.003 * np.abs(values), 0.5)
    zero, wide = np.zeros(len(used)), np.full(len(used), 1e5)
    x = fit(matrix, np.array(values), sigma, zero, wide)
    return {free[j]: float(value) for j, value in zip(used, x, strict=True)} | given


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


def fit_costs(
    records: CostRecords, keep: Keep = everything, draw: np.random.Generator | None = None
) -> Fitted:
    """
    Return all constants, fitted to the records of kept cases; with `draw`, to a bootstrap sample of them.

    Raises nothing for what no record measures: it is in neither table.
    """
    instructions = fit_instructions(records, keep)
    cases = [case for case in records.ns if keep(case.block_size, case.layout)]
    rows: list[tuple[Features, float, float]] = [(c.features, c.value, CASE_SIGMA * c.value) for c in cases]
    for loop in records.primitives:
        features = loop_features(loop)
        if features and keep(loop.block_size, loop.layout):
            rows.append((features, loop.ns, LOOP_SIGMA * loop.ns))
    if draw is not None:
        rows = [rows[i] for i in draw.integers(0, len(rows), len(rows))]
    known = {c: x for c, x in instructions.items() if c not in BYTE_LOOPS} | {NULL_COPY: 100.0}
    used = sorted(
        {constant for features, _, _ in rows for constant in features} & (known.keys() | BYTE_LOOPS.keys())
    )
    matrix = np.array([[features.get(constant, 0.0) for constant in used] for features, _, _ in rows])
    values = np.array([value for _, value, _ in rows])
    sigma = np.array([error for _, _, error in rows])
    bytes_ns = np.array([BYTE_LOOPS.get(constant, 0.0) for constant in used])
    counts = np.array([known.get(constant, 0.0) for constant in used])
    speed = (matrix @ counts) / sigma
    pace = float(speed @ ((values - matrix @ bytes_ns) / sigma) / (speed @ speed))
    prior = np.maximum(bytes_ns + pace * counts, 1e-4)
    x = fit(matrix, values, sigma, prior, PRIOR_WIDTH * prior)
    ns = {constant: float(value) for constant, value in zip(used, x, strict=True)}
    measured = frozenset(used)
    ns |= {constant: pace * value for constant, value in instructions.items() if constant not in ns}
    return Fitted(instructions, ns, pace, measured)


def predict(features: Features, values: Values) -> float:
    """Return what a case costs per 4 KiB."""
    return sum(count * values.get(constant, 0.0) for constant, count in features.items())
