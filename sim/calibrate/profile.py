"""
A machine profile from fitted costs: every constant with value, unit, interval, source and method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.calibrate.constants import MODEL, SELF, STACKED, SYMBOLS, Constant, Modelled
from sim.calibrate.fit import PRIOR_WIDTH, SHARED, Fitted
from sim.calibrate.loops import BYTE_CONSTANTS, MOVED_BYTES
from sim.calibrate.records import CostRecords
from sim.engine.costs import UNMEASURED

Z90 = 1.645
"""Half the width of a 90 % interval in standard errors."""

PACE = (
    "the best single figure for all records, the prior of the fit; a byte: memcpy of a page in a hot loop;"
    " what the base assumes follows at them"
)
METHODS = {
    "fitted": "ns: least squares over cases and hot loops, prior instructions x pace; interval: 90 %",
    "pace": "ns: instructions x pace, no recording times it; interval: 90 %, of constants about the pace",
    "reps": "ns: instructions x pace, a rep's bytes at memset's, no recording times it; interval: as pace",
    "like": "as the symbols it names",
    "aes": "ns: the assembler code's own, and instructions x pace; interval: of both",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One symbol's constants, by "self" or its unit: ns, instructions, half widths of the ns or None."""

    symbol: Modelled
    ns: dict[str, float]
    instructions: dict[str, float]
    half: dict[str, float | None]
    source: str
    method: str


def entries(records: CostRecords, fitted: Fitted) -> list[Entry]:
    """Return the entry of every symbol of the model."""
    made: dict[str, Entry] = {}
    for symbol in SYMBOLS:
        if not symbol.like and symbol.symbol not in records.times.ciphers:
            made[symbol.symbol] = _measured(symbol, fitted, records.times.name)
    for symbol in SYMBOLS:
        if symbol.like:
            made[symbol.symbol] = _like(symbol, made)
    made |= {name: _cipher(name, records, fitted) for name in records.times.ciphers}
    return [made[symbol.symbol] for symbol in SYMBOLS]


def _words(symbol: Modelled) -> list[str]:
    return [SELF, symbol.unit] if symbol.unit else [SELF]


def _measured(symbol: Modelled, fitted: Fitted, times: str) -> Entry:
    ns, instructions = {}, {}
    half: dict[str, float | None] = {}
    for what in _words(symbol):
        constant: Constant = (symbol.symbol, what)
        instructions[what] = fitted.instructions.get(constant, 0.0)
        ns[what] = fitted.ns.get(constant, 0.0)
        known = constant in fitted.instructions or constant in fitted.sigma
        half[what] = Z90 * fitted.sigma.get(constant, PRIOR_WIDTH * ns[what]) if known else None
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
    if constant in fitted.rep_bytes and symbol.record != STACKED:
        source += f"; bytes of its rep: {STACKED}"
    method = "fitted" if timed else "reps" if constant in fitted.rep_bytes else "pace"
    return Entry(symbol, ns, instructions, half, source, METHODS[method])


def _like(symbol: Modelled, made: dict[str, Entry]) -> Entry:
    parts = [made[name] for name in symbol.like]
    ns, instructions = {}, {}
    half: dict[str, float | None] = {}
    for what in _words(symbol):
        ns[what] = sum(part.ns.get(what, 0.0) for part in parts)
        instructions[what] = sum(part.instructions.get(what, 0.0) for part in parts)
        half[what] = None
    source = f"as {' and '.join(symbol.like)}: {symbol.why}; not recorded"
    return Entry(symbol, ns, instructions, half, source, METHODS["like"])


def _cipher(name: str, records: CostRecords, fitted: Fitted) -> Entry:
    """A cipher: the kernel's assembler code timed natively, and what is around it at the pace."""
    took = records.times.ciphers[name]
    symbol = MODEL[name]
    around = fitted.around[name.removesuffix("_128")]
    around_ns = fitted.pace * around
    instructions = {what: fitted.instructions.get((name, what), 0.0) for what in _words(symbol)}
    ns = {SELF: took.call_ns + around_ns, "byte": took.byte_ns}
    half: dict[str, float | None] = {
        SELF: took.call_half + Z90 * PRIOR_WIDTH * around_ns,
        "byte": took.byte_half,
    }
    source = (
        f"instructions: {symbol.record}, {symbol.within}; ns: {took.source}, and {around:.0f} instructions"
        f" a call around the assembler code ({STACKED})"
    )
    return Entry(symbol, ns, instructions, half, source, METHODS["aes"])


def write_profile(name: str, about: str, fitted: Fitted, made: list[Entry], header: str) -> str:
    """Return the profile as TOML; figures are rounded to four digits, so that runs agree to the byte."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    lines += [f"name = {_text(name)}", f"about = {_text(about)}", f"base = {_text(UNMEASURED)}"]
    lines += ["", "[clock]", f"ns_per_instruction = {_number(fitted.pace)}"]
    lines += [f"ns_per_byte = {_number(fitted.byte_ns)}", f"source = {_text(PACE)}"]
    for entry in made:
        lines += ["", f"[cost.{entry.symbol.symbol}]", *_entry_lines(entry)]
    return "\n".join(lines) + "\n"


def _entry_lines(entry: Entry) -> list[str]:
    unit = entry.symbol.unit
    lines = [f"self = {_number(entry.ns[SELF])}", f"instructions = {_number(entry.instructions[SELF])}"]
    if unit:
        lines.append(f"per_unit = {_number(entry.ns[unit])}")
        lines.append(f"unit_instructions = {_number(entry.instructions[unit])}")
        lines.append(f"unit = {_text(unit)}")
    for key, what in (("rep_bytes", SELF), ("unit_rep_bytes", unit)):
        if moved := MOVED_BYTES.get((entry.symbol.symbol, what)):
            lines.append(f"{key} = {moved}")
    lines.append(f"group = {_text(entry.symbol.group)}")
    lines.append(f"spread = {_spread(entry)}")
    for key, what in (("interval", SELF), ("unit_interval", unit)):
        half = entry.half.get(what)
        if what and half is not None:
            low, high = max(entry.ns[what] - half, 0.0), entry.ns[what] + half
            lines.append(f"{key} = [{_number(low)}, {_number(high)}]")
    return [*lines, f"source = {_text(entry.source)}", f"method = {_text(entry.method)}"]


def _spread(entry: Entry) -> str:
    """Return the relative half width of the larger of the two constants' intervals, two digits."""
    widths = [
        min(half / entry.ns[what], 1.0)
        for what, half in entry.half.items()
        if half is not None and entry.ns[what] > 0
    ]
    return f"{max(widths, default=0.5):.2f}"


def _number(value: float) -> str:
    """Return a number to four digits, as short as TOML allows."""
    rounded = float(f"{value:.4g}")
    return str(int(rounded)) if rounded == int(rounded) else repr(rounded)


def _text(value: Any) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
