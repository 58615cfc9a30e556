"""
What readpath validate says of recorded write cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console

from sim.cli.outcomes import Group, Outcome, outcome_table, print_outcomes
from sim.records.write_compare import WriteOutcome
from sim.report.table import Column

WRITE_GROUPS = (
    "over",
    "append",
    "grow",
    "falloc",
    "hole",
    "shortfree",
    "crypt",
    "path",
    "csum",
    "dev",
    "again",
    "bdev",
    "many",
)
"""The groups of recordings that are run: one file each."""

_NAMED = (Column("mount", "mode"), Column("write-back", "path"), Column("block size", "block_size", ",d"))


def print_writes(outcomes: Sequence[WriteOutcome], out: Console) -> None:
    """Print a row per mode and path of write-back, the first differences, and what was not compared."""
    groups: defaultdict[tuple[str, str, int], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        record = outcome.case.record
        groups[str(record["mode"]), str(record["path"]), int(record["block_size"])].append(outcome)
    rows = [Group(labels, groups[labels]) for labels in sorted(groups)]
    title = "recorded cases of writing, or with fs-verity, against the simulator"
    print_outcomes(outcomes, outcome_table(rows, _NAMED, ("mode", "path")), title, "simulator", out)
