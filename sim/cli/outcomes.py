"""
What readpath validate says of recorded cases that are compared phase by phase: writes, and peers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from sim.cli.render import print_table
from sim.records.peer_compare import PeerOutcome
from sim.records.write_compare import WriteOutcome
from sim.report.table import Column, Table

SHOWN = 15
Outcome = WriteOutcome | PeerOutcome


@dataclass(frozen=True, slots=True)
class Group:
    """The cases of one row: what its first columns say of them."""

    labels: tuple[str | int, ...]
    outcomes: list[Outcome]


_COUNTED = (
    Column("cases", "cases", ",d"),
    Column("equal", "equal", ",d"),
    Column("differ", "differ", ",d"),
    Column("numbers compared", "compared", ",d"),
    Column("numbers that differ", "counters", ",d"),
)


def document(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome for --json, what is left out by name: sets have put it together."""
    return {
        "case": outcome.case.name,
        "verdict": "differs" if outcome.differences else "equal",
        "compared": outcome.compared,
        "differences": [asdict(difference) for difference in outcome.differences],
        "left_out": dict(sorted(outcome.left_out.items())),
    }


def outcome_table(groups: Sequence[Group], named: Sequence[Column], sections: tuple[str, ...]) -> Table:
    """Return a row per group: how many cases, and how they came out. named: the columns of its labels."""
    keys = tuple(column.key for column in named)
    rows = tuple(dict(zip(keys, group.labels, strict=True)) | _counted(group.outcomes) for group in groups)
    return Table((*named, *_COUNTED), rows, sections, keys)


def _counted(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    differ = sum(bool(outcome.differences) for outcome in outcomes)
    return {
        "cases": len(outcomes),
        "equal": len(outcomes) - differ,
        "differ": differ,
        "compared": sum(outcome.compared for outcome in outcomes),
        "counters": sum(len(outcome.differences) for outcome in outcomes),
    }


def print_outcomes(outcomes: Sequence[Outcome], table: Table, title: str, against: str, out: Console) -> None:
    """
    Print the table, the first differences, and what was not compared.

    against: what the kernel is held against, as a difference calls it.
    """
    print_table(table, out, title)
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    for one in differences[:SHOWN]:
        said = f"  {one.case}: {one.phase}: {one.counter}: kernel {one.kernel}, {against} {one.simulator}"
        out.print(said, markup=False, highlight=False, soft_wrap=True)
    if len(differences) > SHOWN:
        out.print(f"  {len(differences) - SHOWN} more: --json", highlight=False)
    print_left_out([outcome.left_out for outcome in outcomes], out)


def print_left_out(left_out: Sequence[dict[str, str]], out: Console) -> None:
    """Print, for each reason, in how many cases which counters are not compared; a case: counter -> why."""
    reasons: Counter[str] = Counter()
    counters: dict[str, set[str]] = {}
    for of_case in left_out:
        reasons.update(set(of_case.values()))
        for counter, why in of_case.items():
            counters.setdefault(why, set()).add(counter)
    for why, number in sorted(reasons.items()):
        names = sorted(counters[why])
        some = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        print_not_compared(number, some, why, out)


def print_not_compared(number: int, counters: str, why: str, out: Console) -> None:
    """Print which counters are left out in how many cases, and why."""
    line = f"not compared in {number} case{'s' if number > 1 else ''}: {counters} ({why})"
    out.print(line, markup=False, highlight=False, soft_wrap=True)
