"""
readpath validate: recorded kernel cases against the simulator.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from fnmatch import fnmatch
from itertools import count
from pathlib import Path

from sim.cli.render import console, print_table, progress
from sim.engine.costs import load_costs
from sim.errors import ConfigError
from sim.experiment.kernel_case import load_cases
from sim.experiment.kernel_compare import Outcome, validate
from sim.experiment.runner import Progress
from sim.report.tables import Column, Table

RECORDED = Path("results/kernel/linux-6.1.192")
SHOWN = 40
DIFFERS = 1


def validate_cases(files: list[Path], layouts: Path | None, glob: str, as_json: bool, quiet: bool) -> int:
    """
    Compare the cases of counts files whose name matches `glob`; return 1 if any counter differs.

    layouts: folder of the layout files; None: `layouts` beside each counts file. Raises ReadpathError for
    files that are no recordings, and when no case matches.
    """
    cases = []
    for file in files or [RECORDED / "counts.jsonl"]:
        cases += load_cases(file, layouts or file.parent / "layouts")
    cases = [case for case in cases if fnmatch(case.name, glob)]
    if not cases:
        raise ConfigError(
            "--case", f"{glob!r} matches no recorded case", "a shell pattern, such as '*frag1*'"
        )
    with progress(wanted=not quiet) as watch:
        numbers = count(1)
        outcomes = validate(
            cases,
            load_costs("linux-6.1-epyc"),
            lambda case: watch(Progress("cases", next(numbers), len(cases), case.name)),
        )
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    if as_json:
        document = [
            {"case": outcome.case.name, "verdict": outcome.verdict, "exact": outcome.exact}
            | {"differences": [asdict(difference) for difference in outcome.differences]}
            for outcome in outcomes
        ]
        print(json.dumps(document, indent=2))
    elif not quiet:
        out = console()
        print_table(_summary(outcomes), out, "recorded kernel cases against the simulator")
        for difference in differences[:SHOWN]:
            what = f"{difference.case}: {difference.counter}"
            line = f"{what}: kernel {difference.kernel}, simulator {difference.simulator}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        if len(differences) > SHOWN:
            out.print(f"{len(differences) - SHOWN} more: --json", highlight=False)
    return DIFFERS if differences else 0


def _summary(outcomes: list[Outcome]) -> Table:
    """Return a row per recording and path: how many cases, and how they came out."""
    numbers: Counter[tuple[str, str, str]] = Counter()
    for outcome in outcomes:
        of = (outcome.case.record["tag"], outcome.case.record["path"])
        numbers[(*of, "cases")] += 1
        numbers[(*of, outcome.verdict)] += 1
        numbers[(*of, "exact")] += outcome.exact and outcome.verdict == "equal"
        numbers[(*of, "counters")] += len(outcome.differences)
    columns = (
        Column("recording", "tag"),
        Column("path", "path"),
        Column("cases", "cases", ",d"),
        Column("equal", "equal", ",d"),
        Column("of these every counter exact", "exact", ",d"),
        Column("differ", "differs", ",d"),
        Column("counters that differ", "counters", ",d"),
        Column("not modelled", "not modelled", ",d"),
    )
    keys = [column.key for column in columns[2:]]
    pairs = dict.fromkeys((tag, path) for tag, path, _ in numbers)
    rows = tuple(
        {"tag": tag, "path": path} | {key: numbers[tag, path, key] for key in keys} for tag, path in pairs
    )
    return Table(columns, rows, ("tag",))
