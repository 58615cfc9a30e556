"""
The profile of what writing costs, as TOML: the base of the machines that are fitted to recordings.

Instructions are fitted (write_costs.py); no recording times a write, so ns follow from them at a machine's
pace. Groups, for the figures, go by the words of a symbol's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sim.calibrate.constants import SELF, Constant
from sim.calibrate.fit import PRIOR_WIDTH
from sim.calibrate.profile import METHODS, Z90, number, text_of
from sim.calibrate.stretches import Values
from sim.calibrate.write_costs import COPY, WriteRecords, fit_writes, known_of_reads, of_a_profile
from sim.engine.costs import PS_PER_NS, UNMEASURED, WRITES, load_costs

HEADER: Final = """\
# Written by `readpath calibrate costs --writes` from results/kernel/linux-6.1.192/writes; not by hand.
#
# What writing costs, in instructions: no machine of its own, but the base of those that are. No recording
# times a write: ns follow from the instructions at the machine's pace; a byte copied or encrypted has ns of
# its own, by assumption. A function whose loop turns once a call of another leaves that turn to that cost.
"""
GROUPS: Final = (
    ("decrypt", ("crypt", "xts")),
    ("mapping", ("mb_", "_ext_", "_es_", "get_block", "bitmap", "da_reserve", "da_update", "da_get")),
    ("bio", ("end_bio", "finish_bio", "io_end", "io_submit")),
    ("buffer heads", ("buffer", "_bh", "write_end_fn", "block_write_end", "block_write_full", "bh_")),
    (
        "page cache",
        (
            "page",
            "folio",
            "filemap",
            "write_begin",
            "write_end",
            "write_iter",
            "writeback",
            "writepage",
            "vfs_write",
        ),
    ),
)
NS: Final = {
    COPY: (
        0.02,
        1.0,
        "ns: assumption of a byte, as copy_page_to_iter, the other way: 78 ns for 4 KiB from the L2 cache",
    ),
    ("xts_encrypt", SELF): (51.0, 0.0, "ns: as xts_decrypt of linux-6.1-epyc"),
    ("xts_encrypt", "byte"): (
        0.11,
        0.0,
        "ns of a byte: as xts_decrypt of linux-6.1-epyc, the same code the other way round",
    ),
}
"""ns of a constant that are no instructions at the pace, the bytes of a `rep` in it, and why."""
CLEARED: Final = {
    ("jbd2_journal_get_descriptor_buffer", "byte"): 1,
    ("fscrypt_encrypt_pagecache_blocks", SELF): 4096,
}
"""Bytes that a constant clears with a `rep`: they go at the pace of bytes."""


def group_of(symbol: str) -> str:
    """Return the group of figures that a symbol belongs to."""
    if symbol == COPY[0]:
        return "copy"
    return next((group for group, words in GROUPS if any(word in symbol for word in words)), "other")


def fitted_write_profile(records: WriteRecords) -> str:
    """Return the profile that is fitted to records."""
    known = known_of_reads()
    values = of_a_profile(fit_writes(records.windows, known), known)
    return write_profile_text(values, {symbol: unit for symbol, unit in values if unit != SELF})


def write_profile_text(values: Values, units: Mapping[str, str]) -> str:
    """
    Return the profile as TOML, figures to four digits. values: of constants, the rig's left out. units: of
    symbols that have one.
    """
    pace = load_costs(UNMEASURED).pace
    assert pace is not None
    assert pace.byte_ps is not None
    lines = [HEADER, f"name = {text_of(WRITES)}", f"about = {text_of('no machine: what writing costs')}"]
    lines += [f"base = {text_of(UNMEASURED)}", "", "[clock]"]
    lines += [f"ns_per_instruction = {number(pace.instruction_ps / PS_PER_NS)}"]
    lines += [
        f"ns_per_byte = {number(pace.byte_ps / PS_PER_NS)}",
        f"source = {text_of('the pace of ' + UNMEASURED)}",
    ]
    for symbol in sorted({constant[0] for constant in values}):
        lines += ["", f"[cost.{symbol}]", *_entry(symbol, values, units.get(symbol, ""))]
    return "\n".join(lines) + "\n"


def _entry(symbol: str, values: Values, unit: str) -> list[str]:
    said: dict[str, Any] = {"instructions": number(values.get((symbol, SELF), 0.0))}
    why = ["instructions: writes/symbols.jsonl"]
    keys = ((SELF, "self", "rep_bytes"), (unit, "per_unit", "unit_rep_bytes"))
    if unit:
        said |= {"unit_instructions": number(values.get((symbol, unit), 0.0)), "unit": text_of(unit)}
    for what, key, moved in keys:
        if (symbol, what) in NS or (symbol, what) in CLEARED:
            ns, rep, source = NS.get((symbol, what)) or _cleared((symbol, what), values)
            said[key] = number(ns)
            said |= {moved: number(rep)} if rep else {}
            why.append(source)
    said |= {"group": text_of(group_of(symbol)), "spread": f"{Z90 * PRIOR_WIDTH:.2f}"}
    said |= {"source": text_of("; ".join(why)), "method": text_of(METHODS["pace"])}
    return [f"{key} = {value}" for key, value in said.items()]


def _cleared(constant: Constant, values: Values) -> tuple[float, float, str]:
    """Return ns, bytes and source of a constant of which some bytes are cleared."""
    pace, rep = load_costs(UNMEASURED).pace, CLEARED[constant]
    assert pace is not None
    assert pace.byte_ps is not None
    ns = (max(values[constant] - rep, 0.0) * pace.instruction_ps + rep * pace.byte_ps) / PS_PER_NS
    return ns, rep, "bytes cleared at the pace of bytes"
