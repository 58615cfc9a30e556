"""
What a record has of windows and folios, held against what the simulator's readahead did.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from sim.cache.ra_log import RaLog
from sim.machine.machine import Machine
from sim.records.kernel_case import Case
from sim.units import PAGE_BYTES

FIRST_FOLIOS: Final = 96
FIRST_WINDOWS: Final = 48
"""How many of the first a record has."""

TREE_PLACES: Final = "where the blocks of the extent tree lie is not in the layout"


def folio_pairs(case: Case, log: RaLog) -> list[tuple[str, Any, Any]]:
    """Return (what, kernel, simulator) of folios by order, and of the first folios and windows."""
    record = case.record
    orders = Counter(order for _, order in log.folios)
    windows = sum(len(window) == 4 for window in log.windows)
    return [
        ("folio_orders", record["folio_orders"], {str(order): n for order, n in sorted(orders.items())}),
        ("first_folios", record["first_folios"], log.folios[:FIRST_FOLIOS]),
        ("first_windows", record["first_windows"], log.windows[:FIRST_WINDOWS]),
        ("windows", record["windows"], windows),
        ("bare_runs", record["bare_runs"], len(log.windows) - windows),
    ]


LEAVES: Final = (
    "the file was made by taking blocks out of it: how full the leaves of its tree are is not known"
)


def unknown_leaves(case: Case, machine: Machine) -> bool:
    """Return whether tree blocks are read of a tree that was not built in the order of the file."""
    apart = int(case.record["block_size"]) > PAGE_BYTES and case.layout.tree_blocks is None
    return apart and bool(machine.ledger.calls().get("ext4_read_bh"))


def unplaced(case: Case, machine: Machine) -> dict[str, str]:
    """Return what cannot be compared because tree blocks were read of which nothing says where they lie."""
    if (
        "first_folios" in case.record
        and case.layout.tree_blocks is None
        and machine.ledger.calls().get("ext4_read_bh")
    ):
        leaves = (
            {"turns of tree blocks among the first bios": LEAVES} if unknown_leaves(case, machine) else {}
        )
        return {"first_folios": TREE_PLACES} | leaves
    return {}
