"""
What a machine's ledger says at the end of a run, as the tables of results have it.
"""

from __future__ import annotations

from typing import cast

from sim.config.cell_result import CallRow, Context, Number
from sim.engine.costs import PS_PER_NS
from sim.engine.ledger import CallRow as Charged
from sim.engine.pace import MILLI
from sim.units import PAGE_BYTES

_CONTEXTS = ("task", "irq", "kworker")


def cpu_metrics(spent: list[tuple[str, int]], bytes_read: int) -> dict[str, Number]:
    """Return the metrics of CPU time, of (context, ps) pairs; bytes_read: what it is shared out over."""
    by_context = {context: sum(ps for at, ps in spent if at == context) for context in _CONTEXTS}
    cpu_ps = sum(by_context.values())
    return {
        "cpu_ns": cpu_ps // PS_PER_NS,
        **{f"cpu_{context}_ns": ps // PS_PER_NS for context, ps in by_context.items()},
        "cpu_ns_per_4k": _per_4k(cpu_ps / PS_PER_NS, bytes_read),
    }


def instruction_metrics(rows: list[Charged], bytes_read: int) -> dict[str, Number]:
    """Return the metrics of instructions; bytes_read as for `cpu_metrics`."""
    instructions = sum(row.mi for row in rows)
    return {
        "instructions": instructions // MILLI,
        "instructions_per_4k": _per_4k(instructions / MILLI, bytes_read),
    }


def _per_4k(cost: float, bytes_read: int) -> float:
    """Return a cost shared out over 4 KiB each; 0 where every read was refused."""
    return cost / (bytes_read / PAGE_BYTES) if bytes_read else 0.0


def call_rows(rows: list[Charged]) -> list[CallRow]:
    """Return the ledger's rows in whole ns and instructions."""
    return [
        CallRow(
            row.symbol,
            row.stack,
            cast("Context", row.context),
            row.calls,
            row.ps // PS_PER_NS,
            row.group,
            row.mi // MILLI,
        )
        for row in rows
    ]
