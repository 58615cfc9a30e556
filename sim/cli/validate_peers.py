"""
What readpath validate says of recorded cases of peers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from sim.cli.render import print_table
from sim.cli.validate_writes import SHOWN, print_left_out
from sim.records.peer_compare import PeerOutcome
from sim.report.table import Column, Table

PEER_GROUPS = ("dm-integrity", "dm-crypt-aead", "btrfs", "xfs-reflink", "fs-verity")
"""The groups of recordings that are run: one file each."""


def peer_document(outcome: PeerOutcome) -> dict[str, Any]:
    """Return an outcome for --json."""
    return {
        "case": outcome.case.name,
        "verdict": "differs" if outcome.differences else "equal",
        "compared": outcome.compared,
        "differences": [asdict(difference) for difference in outcome.differences],
        "left_out": outcome.left_out,
    }


def print_peers(outcomes: Sequence[PeerOutcome], out: Console) -> None:
    """Print a row per peer and setup, the first differences, and what was not compared."""
    print_table(_summary(outcomes), out, "recorded cases of peers against their models")
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    for one in differences[:SHOWN]:
        said = f"  {one.case}: {one.phase}: {one.counter}: kernel {one.kernel}, model {one.simulator}"
        out.print(said, markup=False, highlight=False, soft_wrap=True)
    if len(differences) > SHOWN:
        out.print(f"  {len(differences) - SHOWN} more: --json", highlight=False)
    print_left_out([outcome.left_out for outcome in outcomes], out)


def _summary(outcomes: Sequence[PeerOutcome]) -> Table:
    numbers: Counter[tuple[str, str, str]] = Counter()
    for outcome in outcomes:
        of = (outcome.case.group, outcome.case.variant)
        numbers[(*of, "cases")] += 1
        numbers[(*of, "equal")] += not outcome.differences
        numbers[(*of, "differ")] += bool(outcome.differences)
        numbers[(*of, "compared")] += outcome.compared
        numbers[(*of, "counters")] += len(outcome.differences)
    columns = (
        Column("peer", "group"),
        Column("setup", "variant"),
        Column("cases", "cases", ",d"),
        Column("equal", "equal", ",d"),
        Column("differ", "differ", ",d"),
        Column("numbers compared", "compared", ",d"),
        Column("numbers that differ", "counters", ",d"),
    )
    keys = [column.key for column in columns[2:]]
    rows = tuple(
        {"group": group, "variant": variant} | {key: numbers[group, variant, key] for key in keys}
        for group, variant in dict.fromkeys((o.case.group, o.case.variant) for o in outcomes)
    )
    return Table(columns, rows, ("group", "variant"), ("group", "variant"))
