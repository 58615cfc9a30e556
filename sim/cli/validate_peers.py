"""
What readpath validate says of recorded cases of peers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console

from sim.cli.outcomes import Group, Outcome, outcome_table, print_outcomes
from sim.records.peer_compare import PeerOutcome
from sim.report.table import Column

PEER_GROUPS = ("dm-integrity", "dm-crypt-aead", "btrfs", "xfs-reflink", "fs-verity")
"""The groups of recordings that are run: one file each."""

_NAMED = (Column("peer", "group"), Column("setup", "variant"))


def print_peers(outcomes: Sequence[PeerOutcome], out: Console) -> None:
    """Print a row per peer and setup, the first differences, and what was not compared."""
    groups: defaultdict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.case.group, outcome.case.variant].append(outcome)
    rows = [Group(labels, found) for labels, found in groups.items()]
    title = "recorded cases of peers against their models"
    print_outcomes(outcomes, outcome_table(rows, _NAMED, ("group", "variant")), title, "model", out)
