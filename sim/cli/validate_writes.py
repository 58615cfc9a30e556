"""
What readpath validate says of recorded write cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from sim.cli.render import print_table
from sim.records.write_compare import WriteOutcome
from sim.report.table import Column, Table

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
SHOWN = 15


def write_document(outcome: WriteOutcome) -> dict[str, Any]:
    """Return an outcome for --json."""
    return {
        "case": outcome.case.name,
        "verdict": "differs" if outcome.differences else "equal",
        "compared": outcome.compared,
        "differences": [asdict(difference) for difference in outcome.differences],
        "left_out": outcome.left_out,
    }


def print_writes(outcomes: Sequence[WriteOutcome], out: Console) -> None:
    """Print a row per mode and path of write-back, the first differences, and what was not compared."""
    title = "recorded cases of writing, or with fs-verity, against the simulator"
    print_table(_summary(outcomes), out, title)
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    for one in differences[:SHOWN]:
        said = f"  {one.case}: {one.phase}: {one.counter}: kernel {one.kernel}, simulator {one.simulator}"
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


def _summary(outcomes: Sequence[WriteOutcome]) -> Table:
    numbers: Counter[tuple[str, str, int, str]] = Counter()
    for outcome in outcomes:
        record = outcome.case.record
        of = (str(record["mode"]), str(record["path"]), int(record["block_size"]))
        numbers[(*of, "cases")] += 1
        numbers[(*of, "equal")] += not outcome.differences
        numbers[(*of, "differ")] += bool(outcome.differences)
        numbers[(*of, "compared")] += outcome.compared
        numbers[(*of, "counters")] += len(outcome.differences)
    columns = (
        Column("mount", "mode"),
        Column("write-back", "path"),
        Column("block size", "block_size", ",d"),
        Column("cases", "cases", ",d"),
        Column("equal", "equal", ",d"),
        Column("differ", "differ", ",d"),
        Column("numbers compared", "compared", ",d"),
        Column("numbers that differ", "counters", ",d"),
    )
    keys = [column.key for column in columns[3:]]
    rows = tuple(
        {"mode": mode, "path": path, "block_size": size}
        | {key: numbers[mode, path, size, key] for key in keys}
        for mode, path, size in sorted({key[:3] for key in numbers})
    )
    return Table(columns, rows, ("mode", "path"), ("mode", "path", "block_size"))
