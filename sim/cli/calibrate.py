"""
readpath calibrate: constants from recordings.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from sim.calibrate.draws import draw_costs
from sim.calibrate.features import (
    attach_features,
    keys_of,
    read_features,
    require_current,
    simulate_features,
    write_features,
)
from sim.calibrate.fit import fit_costs
from sim.calibrate.judge import BARS, Predicted, Verdict, judge, ns_noise, verdicts
from sim.calibrate.profile import draws_of, entries, write_draws, write_profile
from sim.calibrate.records import TIMES, CostRecords, load_records
from sim.calibrate.runs import covering, run_cases
from sim.calibrate.times import MACHINES, load_times
from sim.calibrate.version_costs import fitted_kernel, is_version, load_version_records
from sim.calibrate.version_judge import judge_version, noise_of_version
from sim.calibrate.write_costs import FOLDER, has_writes, load_write_records
from sim.calibrate.write_judge import judge_write_times, judge_writes, noise_of_write_times, noise_of_writes
from sim.calibrate.write_profile import fitted_write_profile
from sim.calibrate.write_times import has_write_times, instructions_of, load_write_times
from sim.cli.render import console, print_table
from sim.engine.costs import DRAWS_SUFFIX
from sim.errors import ConfigError
from sim.report.table import Column, Table
from sim.shipped import here_or_shipped, is_installed

ABOUT = "{cpu}, {kernel}, no mitigations, one CPU; fitted to recordings"
HEADER = """\
Written by `readpath calibrate costs` from the recordings in results/kernel/{kernel}; not by hand.

Units: `self` ns a call, children not included; `per_unit` ns a `unit`; `instructions` and
`unit_instructions` likewise. A byte that `rep` moves or sets counts as one instruction, as in the recordings.
ns are of user-mode Linux at native speed: one CPU, no mitigations; use ratios before absolutes. Intervals are
of the ns; `spread` is the larger of them, relative (0.5 where no recording times the symbol).
"""
WORST = 8


def load_fitted_records(folder: Path, times: Path | None, simulate: bool) -> CostRecords:
    """
    Return the records of a folder with their features, simulated anew if asked for or missing.

    The features kept are those of all times in the folder, whichever are asked for. ConfigError for some that
    are kept, but of another file than a record's.
    """
    folder = here_or_shipped(folder)
    if simulate and is_installed(folder):
        raise ConfigError("--simulate", f"would change {folder}", "with --records DIR, a copy of it")
    records = load_records(folder, times)
    path, layouts = folder / "features.jsonl", folder / "layouts"
    known = {} if simulate or not path.exists() else read_features(path)
    cases = list(records.whole)
    for other in sorted(folder.glob("*-ns.jsonl")):
        if other.resolve() != (times or folder / TIMES).resolve():
            cases += load_times(other, folder).cases
    keys = keys_of(cases, layouts)
    require_current(keys, known)
    if any(key not in known for key in keys):
        known = simulate_features(cases, layouts, len(os.sched_getaffinity(0)), known)
        write_features(path, known)
    attach_features(records.whole, known, layouts)
    return records


def fit_profile(folder: Path, times: Path | None, output: Path | None, simulate: bool) -> None:
    """
    Fit a profile and write it to `output`, after which it is named, or print it.

    Of a later kernel than 6.1, what differs there (sim/profiles/kernels).
    """
    folder = here_or_shipped(folder)
    if is_version(folder):
        _write(fitted_kernel(load_version_records(folder)), output)
        return
    records = load_fitted_records(folder, times, simulate)
    named = MACHINES.get(records.times.cpu, Path(records.times.name).stem)
    text, draws = profile_text(records, named if output is None else output.stem)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")
        output.with_suffix(DRAWS_SUFFIX).write_text(draws, encoding="utf-8")


def fit_write_profile(folder: Path, output: Path | None) -> None:
    """Fit what writing costs and write that profile to `output`, or print it."""
    _write(fitted_write_profile(load_write_records(here_or_shipped(folder))), output)


def _write(text: str, output: Path | None) -> None:
    """Write a text to a file, or print it."""
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")


def profile_text(records: CostRecords, name: str) -> tuple[str, str]:
    """Return the profile that is fitted to these records, and the draws of its constants, both as TOML."""
    about = ABOUT.format(cpu=records.times.cpu, kernel=records.kernel.replace("linux-", "Linux "))
    fitted = fit_costs(records)
    drawn = draw_costs(records, fitted)
    made = entries(records, fitted, drawn)
    text = write_profile(name, about, fitted, made, HEADER.format(kernel=records.kernel))
    return text, write_draws(name, draws_of(made, drawn))


def judge_costs(folder: Path, times: Path | None, simulate: bool, as_json: bool) -> int:
    """
    Print how well costs predict cases they were not fitted to; return 1 if a bar is not held.

    Of 6.1's folder reads and writes, and the later kernels' beside it; of a later kernel's, its own.
    """
    folder = here_or_shipped(folder)
    predicted: list[Predicted] = []
    noise: list[str] = []
    if not is_version(folder):
        records = load_fitted_records(folder, times, simulate)
        predicted += judge(records)
        median, p95 = ns_noise(records)
        noise.append(
            f"ns records of the same work (path nop) differ by {median:.1%} in the median, p95 {p95:.1%}"
        )
    if has_writes(folder):
        writes = load_write_records(folder)
        predicted += judge_writes(writes)
        for side, (median, p95) in noise_of_writes(writes.phases).items():
            noise.append(f"{side}: rounds of the same work lie {median:.2%} from their mean, p95 {p95:.2%}")
        if has_write_times(folder):
            timed, values = load_write_times(folder / FOLDER), instructions_of(writes)
            predicted += judge_write_times(timed, values)
            for of, (median, p95) in noise_of_write_times(timed).items():
                noise.append(f"{of}: boots lie {median:.1%} from their mean, p95 {p95:.1%}")
    versions = [folder] if is_version(folder) else filter(is_version, sorted(folder.parent.glob("linux-*")))
    for version in map(load_version_records, versions):
        predicted += judge_version(version)
        median, p95 = noise_of_version(version)
        noise.append(f"reads, {version.kernel}: runs of a case lie {median:.2%} apart, p95 {p95:.2%}")
    found = verdicts(predicted)
    if as_json:
        print(json.dumps([_document(verdict) for verdict in found], indent=2))
    else:
        _print(found)
        for line in noise:
            console().print(line, markup=False, highlight=False, soft_wrap=True)
    return int(not all(verdict.held for verdict in found))


def judge_runs(folder: Path, times: Path | None, as_json: bool) -> int:
    """Print how far runs of recorded cases lie from their records; return 1 if a bar is not held."""
    folder = here_or_shipped(folder)
    records = load_records(folder, times)
    layouts, machine = folder / "layouts", records.times.machine
    ran = list(run_cases(covering(records.times.cases), "ns", layouts, machine))
    ran += run_cases(covering(records.instructions), "instructions", layouts, machine)
    found = verdicts(ran)
    rows = [_row(verdict) | {"held": verdict.within} for verdict in found]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        columns = tuple(column for column in COLUMNS if column.key != "orders")
        title = f"experiments on machine {machine} beside their records"
        print_table(Table(columns, tuple(map(_in_words, rows))), console(), title)
    return int(not all(verdict.within for verdict in found))


def _row(verdict: Verdict) -> dict[str, object]:
    """Return the errors of a verdict beside their bars."""
    median_bar, p95_bar = BARS[verdict.currency]
    return {
        "currency": verdict.currency,
        "device": verdict.name,
        "cases": len(verdict.predicted),
        "median": verdict.median,
        "median_bar": median_bar,
        "p95": verdict.p95,
        "p95_bar": p95_bar,
        "held": verdict.held,
    }


def _in_words(row: dict[str, object]) -> dict[str, object]:
    return row | {"held": "yes" if row["held"] else "no"}


def _document(verdict: Verdict) -> dict[str, object]:
    return {
        "currency": verdict.currency,
        "device": verdict.name,
        "median": verdict.median,
        "p95": verdict.p95,
        "held": verdict.held,
        "orders": verdict.orders,
        "wrong": list(verdict.wrong),
        "cases": [
            {
                "left_out": one.left_out,
                "case": one.case.name,
                "measured": one.measured,
                "predicted": one.predicted,
            }
            for one in verdict.predicted
        ],
    }


COLUMNS = (
    Column("per 4 KiB", "currency"),
    Column("device", "device"),
    Column("predictions", "cases", ",d"),
    Column("median error", "median", ".2%"),
    Column("bar", "median_bar", ".0%"),
    Column("95th percentile", "p95", ".2%"),
    Column("bar", "p95_bar", ".0%"),
    Column("pairs of paths in order", "orders"),
    Column("held", "held"),
)


def by_kind(verdict: Verdict) -> list[str]:
    """Return a line for each of the kinds that are predicted worst, the worst first."""
    kinds: dict[str, list[float]] = {}
    for one in verdict.predicted:
        if one.left_out:
            kinds.setdefault(one.left_out, []).append(abs(one.error))
    rows = [
        (float(np.percentile(errors, 95)), float(np.median(errors)), len(errors), kind)
        for kind, errors in kinds.items()
    ]
    return [
        f"without {kind}: {cases} predictions, median {median:.2%}, p95 {p95:.2%}"
        for p95, median, cases, kind in sorted(rows, reverse=True)[:WORST]
    ]


def _print(found: list[Verdict]) -> None:
    rows = tuple(
        _in_words(_row(verdict)) | {"orders": f"{verdict.orders - len(verdict.wrong)} of {verdict.orders}"}
        for verdict in found
    )
    out = console()
    print_table(
        Table(COLUMNS, rows),
        out,
        "each kind left out: layouts and block sizes of reads; of writes, modes, paths, files",
    )
    for verdict in found:
        out.print(f"{verdict.currency}, {verdict.name}: the worst", markup=False, highlight=False)
        for one in sorted(verdict.predicted, key=lambda one: -abs(one.error))[:WORST]:
            without = f" (without {one.left_out})" if one.left_out else ""
            what = f"  {one.error:+.1%} {one.case.name}{without}"
            line = f"{what}: kernel {one.measured:,.0f}, simulator {one.predicted:,.0f}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        for line in by_kind(verdict):
            out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        for name in verdict.wrong:
            out.print(f"  wrong order: {name}", markup=False, highlight=False, soft_wrap=True)
