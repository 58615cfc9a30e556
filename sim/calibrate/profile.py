"""
A machine profile from fitted costs: every constant with value, unit, interval, source and method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.calibrate.constants import (
    DRIVEN,
    HARDWARE,
    MODEL,
    SELF,
    STACKED,
    SYMBOLS,
    Constant,
    Modelled,
    Stated,
)
from sim.calibrate.draws import DRAWS, Drawn
from sim.calibrate.fit import PRIOR_WIDTH, SHARED, Fitted
from sim.calibrate.loops import BYTE_CONSTANTS, MOVED_BYTES
from sim.calibrate.records import CostRecords
from sim.engine.costs import WRITES

Z90 = 1.645
"""Half the width of a 90 % interval in standard errors."""
CENTRAL = (5, 95)
"""Percentiles between which 90 % of the draws lie."""

PACE = (
    "the best single figure for all records, the prior of the fit; a byte: memcpy of a page in a hot loop;"
    " what the base assumes follows at them"
)
METHODS = {
    "fitted": "ns: least squares over cases and hot loops, prior instructions x pace; 90 % interval of draws",
    "pace": "ns: instructions x pace, no recording times it; interval: 90 %, of constants about the pace",
    "reps": "ns: instructions x pace, a rep's bytes at memset's, no recording times it; interval: as pace",
    "like": "as the symbols it names",
    "stated": "ns: stated, no recording has the time of the hardware",
    "aes": "ns: the assembler code's own, and instructions x pace; interval: of both",
}


Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One symbol's constants, by "self" or its unit: ns, instructions, the interval of the ns or None; of the
    instructions, those that are bytes of a long `rep`.
    """

    symbol: Modelled
    ns: dict[str, float]
    instructions: dict[str, float]
    interval: dict[str, Interval | None]
    source: str
    method: str
    rep_bytes: dict[str, float] = field(default_factory=dict)


def entries(records: CostRecords, fitted: Fitted, drawn: Drawn) -> list[Entry]:
    """Return the entry of every symbol of the model; `drawn`: of its constants, for their intervals."""
    made: dict[str, Entry] = {}
    for symbol in SYMBOLS:
        if not symbol.like and symbol.symbol not in records.times.ciphers:
            made[symbol.symbol] = _measured(symbol, fitted, drawn, records.times.name)
    for symbol in SYMBOLS:
        if symbol.like:
            made[symbol.symbol] = _like(symbol, made)
    made |= {stated.symbol: _stated(stated) for stated in HARDWARE}
    made |= {name: _cipher(name, records, fitted) for name in records.times.ciphers}
    return [made[symbol.symbol] for symbol in SYMBOLS]


def _words(symbol: Modelled) -> list[str]:
    return [SELF, symbol.unit] if symbol.unit else [SELF]


def _around(value: float, half: float) -> Interval:
    return max(value - half, 0.0), value + half


def _measured(symbol: Modelled, fitted: Fitted, drawn: Drawn, times: str) -> Entry:
    ns, instructions = {}, {}
    interval: dict[str, Interval | None] = {}
    for what in _words(symbol):
        constant: Constant = (symbol.symbol, what)
        instructions[what] = fitted.instructions.get(constant, 0.0)
        ns[what] = fitted.ns.get(constant, 0.0)
        interval[what] = None
        if constant in fitted.sigma:
            low, high = np.percentile(drawn[constant], CENTRAL)
            interval[what] = min(float(low), ns[what]), max(float(high), ns[what])
        elif constant in fitted.instructions:
            interval[what] = _around(ns[what], Z90 * PRIOR_WIDTH * ns[what])
    constant = (symbol.symbol, SELF)
    timed = constant in fitted.sigma
    where = (
        f"instructions: {symbol.record}, {symbol.within}"
        if constant in fitted.instructions
        else "no recording"
    )
    if symbol.within not in ("", symbol.symbol):
        where += " (inlined there)"
    for mine, other in SHARED.items():
        if mine[0] == symbol.symbol:
            where += f"; per {mine[1]} as {other[0]}"
    source = f"{where}; ns: {times}" if timed else where
    if any((symbol.symbol, what) in BYTE_CONSTANTS for what in _words(symbol)):
        source += ", prior of its bytes memcpy and memset there"
    if constant in fitted.rep_bytes and symbol.record not in (STACKED, DRIVEN):
        source += f"; bytes of its rep: {STACKED}"
    method = "fitted" if timed else "reps" if constant in fitted.rep_bytes else "pace"
    moved = {what: MOVED_BYTES.get((symbol.symbol, what), 0.0) for what in _words(symbol)}
    moved |= {what: n for what in moved if (n := fitted.rep_bytes.get((symbol.symbol, what), 0.0))}
    return Entry(symbol, ns, instructions, interval, source, METHODS[method], moved)


def _stated(stated: Stated) -> Entry:
    interval: dict[str, Interval | None] = {SELF: stated.interval}
    ns, instructions = {SELF: stated.ns}, {SELF: stated.instructions}
    return Entry(MODEL[stated.symbol], ns, instructions, interval, stated.source, METHODS["stated"])


def _like(symbol: Modelled, made: dict[str, Entry]) -> Entry:
    parts = [made[name] for name in symbol.like]
    ns, instructions = {}, {}
    for what in _words(symbol):
        ns[what] = sum(part.ns.get(what, 0.0) for part in parts)
        instructions[what] = sum(part.instructions.get(what, 0.0) for part in parts)
    interval: dict[str, Interval | None] = dict.fromkeys(_words(symbol))
    source = f"as {' and '.join(symbol.like)}: {symbol.why}; not recorded"
    return Entry(symbol, ns, instructions, interval, source, METHODS["like"])


def _cipher(name: str, records: CostRecords, fitted: Fitted) -> Entry:
    """A cipher: the kernel's assembler code timed natively, and what is around it at the pace."""
    took = records.times.ciphers[name]
    symbol = MODEL[name]
    around = fitted.around[name.removesuffix("_128")]
    around_ns = fitted.pace * around
    instructions = {what: fitted.instructions.get((name, what), 0.0) for what in _words(symbol)}
    ns = {SELF: took.call_ns + around_ns, "byte": took.byte_ns}
    interval: dict[str, Interval | None] = {
        SELF: _around(ns[SELF], took.call_half + Z90 * PRIOR_WIDTH * around_ns),
        "byte": _around(ns["byte"], took.byte_half),
    }
    source = (
        f"instructions: {symbol.record}, {symbol.within}; ns: {took.source}, and {around:.0f} instructions"
        f" a call around the assembler code ({STACKED})"
    )
    return Entry(symbol, ns, instructions, interval, source, METHODS["aes"])


def write_profile(name: str, about: str, fitted: Fitted, made: list[Entry], header: str) -> str:
    """Return the profile as TOML; figures are rounded to four digits, so that runs agree to the byte."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    lines += [f"name = {text_of(name)}", f"about = {text_of(about)}", f"base = {text_of(WRITES)}"]
    lines += ["", "[clock]", f"ns_per_instruction = {number(fitted.pace)}"]
    lines += [f"ns_per_byte = {number(fitted.byte_ns)}", f"source = {text_of(PACE)}"]
    for entry in made:
        lines += ["", f"[cost.{entry.symbol.symbol}]", *_entry_lines(entry)]
    return "\n".join(lines) + "\n"


def draws_of(made: list[Entry], drawn: Drawn) -> dict[Constant, list[float]]:
    """
    Return the draws of every constant of a profile that has any.

    What is like other symbols is drawn with them. A cipher, timed apart, and what is stated are drawn evenly
    from their intervals.
    """
    found: dict[Constant, list[float]] = {}
    for entry in made:
        for what in _words(entry.symbol):
            constant: Constant = (entry.symbol.symbol, what)
            interval = entry.interval.get(what)
            if entry.symbol.like:
                parts = [drawn[name, what] for name in entry.symbol.like if (name, what) in drawn]
                found[constant] = [sum(values) for values in zip(*parts, strict=True)]
            elif entry.method in (METHODS["aes"], METHODS["stated"]) and interval:
                low, high = interval
                found[constant] = [low + (high - low) * (k + 0.5) / DRAWS for k in range(DRAWS)]
            else:
                found[constant] = drawn.get(constant, [])
    return {constant: values for constant, values in found.items() if any(values)}


def write_draws(name: str, draws: dict[Constant, list[float]]) -> str:
    """Return the draws as TOML: per symbol, ns in each draw, of a call and of a unit."""
    lines = [
        "# Written by `readpath calibrate costs` beside the profile of this name; not by hand.",
        "#",
        "# Other values of its constants that recordings allow as well, in ns: the k-th of all go together.",
        "# What a sum of constants is known to is the spread of that sum over the draws.",
        f"name = {text_of(name)}",
    ]
    for part in ("self", "unit"):
        lines += ["", f"[{part}]"]
        for (symbol, what), values in draws.items():
            if (what == SELF) == (part == "self"):
                lines.append(f"{symbol} = [{', '.join(f'{value:.3g}' for value in values)}]")
    return "\n".join(lines) + "\n"


def _entry_lines(entry: Entry) -> list[str]:
    unit = entry.symbol.unit
    lines = [f"self = {number(entry.ns[SELF])}", f"instructions = {number(entry.instructions[SELF])}"]
    if unit:
        lines.append(f"per_unit = {number(entry.ns[unit])}")
        lines.append(f"unit_instructions = {number(entry.instructions[unit])}")
        lines.append(f"unit = {text_of(unit)}")
    for key, what in (("rep_bytes", SELF), ("unit_rep_bytes", unit)):
        if moved := entry.rep_bytes.get(what):
            lines.append(f"{key} = {number(moved)}")
    lines.append(f"group = {text_of(entry.symbol.group)}")
    lines.append(f"spread = {_spread(entry)}")
    for key, what in (("interval", SELF), ("unit_interval", unit)):
        if what and (interval := entry.interval.get(what)):
            lines.append(f"{key} = [{number(interval[0])}, {number(interval[1])}]")
    return [*lines, f"source = {text_of(entry.source)}", f"method = {text_of(entry.method)}"]


def _spread(entry: Entry) -> str:
    """Return how far the interval of either constant reaches from it, relative, the larger, two digits."""
    widths = [
        min(max(entry.ns[what] - interval[0], interval[1] - entry.ns[what]) / entry.ns[what], 1.0)
        for what, interval in entry.interval.items()
        if interval is not None and entry.ns[what] > 0
    ]
    return f"{max(widths, default=0.5):.2f}"


def number(value: float) -> str:
    """Return a number to four digits, as short as TOML allows."""
    rounded = float(f"{value:.4g}")
    return str(int(rounded)) if rounded == int(rounded) else repr(rounded)


def text_of(value: Any) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
