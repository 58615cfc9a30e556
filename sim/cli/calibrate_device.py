"""
readpath calibrate device: a device profile from what fio measured.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.block.device.profile import load_device_profile
from sim.calibrate.device import Compared, FittedDevice, compare, fit_device
from sim.calibrate.device_constants import VERB, given_constants
from sim.calibrate.device_told import noise_note
from sim.calibrate.fio_plan import RUNTIMES_NS
from sim.calibrate.fio_results import FioResult, parse_fio_result, read_fio_result, rows_of
from sim.calibrate.fio_run import check_target, find_fio, planned, run_plan
from sim.cli.render import console, print_table
from sim.cli.report import write_whole
from sim.errors import ConfigError
from sim.report.table import Column, Table
from sim.units import KIB, parse_time

COLUMNS = (
    Column("job", "job"),
    Column("of", "file"),
    Column("rw", "rw"),
    Column("KiB", "kib", "g"),
    Column("in flight", "in_flight", "d"),
    Column("fio IOPS", "iops", ",.0f"),
    Column("simulated", "simulated", ",.0f"),
    Column("error", "error", "+.1%"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What `calibrate device` was asked for, as words."""

    results: Sequence[Path]
    run: Path | None
    runtime: str
    keep: Path | None
    rest: str
    give: Sequence[str]
    host: str
    buffered: bool
    judge: Sequence[Path]
    output: Path | None


def calibrate(asked: Asked, as_json: bool) -> None:
    """
    Fit a device and write its profile, or print it; or hold it against results it was not fitted to.

    Raises ConfigError for what cannot be measured, read or told; then nothing is written.
    """
    for path in filter(None, (asked.output, asked.keep)):
        _check_folder(path)
    given = given_constants(asked.give)
    rest = load_device_profile(asked.rest) if asked.rest else None
    host_ns = parse_time("--host", asked.host) if asked.host else None
    results = [*([_measure(asked)] if asked.run else []), *_read(asked.results, asked.buffered)]
    if not results:
        raise ConfigError(VERB, "nothing to fit to", "--fio RESULT.json, --run FILE_OR_DEVICE")
    others = _read(asked.judge, asked.buffered)
    name = asked.output.stem if asked.output else "measured"
    fitted = fit_device(results, given, rest, host_ns, name)
    judged = compare(fitted.profile, rows_of(others), fitted.host)
    left_out = [line for one in (*results, *others) for line in one.left_out]
    if asked.output is not None:
        write_whole(asked.output, head(results, fitted, host_ns) + fitted.text)
    if as_json:
        print(json.dumps(_document(fitted, judged, left_out), indent=2))
    elif asked.judge or asked.output:
        noise = noise_note([row for one in others for row in one.rows])
        _print(
            fitted,
            judged,
            [*([f"judged by, {noise}"] if noise else []), *(f"left out: {line}" for line in left_out)],
        )
    else:
        print(head(results, fitted, host_ns) + fitted.text, end="")


def _read(files: Sequence[Path], buffered: bool) -> list[FioResult]:
    results = [read_fio_result(file, buffered) for file in files]
    for file, result in zip(files, results, strict=True):
        if not result.rows:
            reasons = "; ".join(result.left_out) or "no jobs"
            raise ConfigError(
                str(file), f"has no job that tells of a device ({reasons})", "jobs that only read"
            )
    return results


def _measure(asked: Asked) -> FioResult:
    """Run the plan, which is told on standard error first, and keep fio's result if asked to."""
    assert asked.run is not None
    runtime_ns = parse_time("--runtime", asked.runtime)
    if runtime_ns not in RUNTIMES_NS:
        raise ConfigError("--runtime", f"{asked.runtime!r} is out of range", "10ms to 60s")
    said = check_target(asked.run)
    fio = find_fio()
    plan, queue = planned(said, runtime_ns)
    print("\n".join(plan.lines(str(asked.run))), file=sys.stderr, flush=True)
    text = run_plan(fio, asked.run, plan, queue)
    if asked.keep is not None:
        write_whole(asked.keep, text)
        return read_fio_result(asked.keep)
    return parse_fio_result(text, "run.json")


def _check_folder(path: Path) -> None:
    """Raise ConfigError, before anything is measured, for a file that could not be written then."""
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK) or path.is_dir():
        raise ConfigError(str(path), "cannot be written", "a file in a folder of yours")


def head(results: Sequence[FioResult], fitted: FittedDevice, host_ns: int | None) -> str:
    """Return the comment above a profile: what it is from, what is to be known, and the residuals."""
    files = "; ".join(f"{one.name} ({one.version}, {one.time})" for one in results)
    host = "fio's CPU times, row by row" if host_ns is None else f"{host_ns} ns a read, as given"
    lines = [f"Written by `readpath {VERB}` from {files}.", f"What the host takes of a read: {host}."]
    lines += [f"Note: {note}." for note in fitted.notes]
    lines += [f"Left out: {line}." for one in results for line in one.left_out]
    lines += [
        "",
        "IOPS of fio, and of this profile with the same reads in flight (no page cache, no merging):",
    ]
    lines += [
        f"  {row['job']:24} {row['rw']:8} {row['kib']:6g} KiB {row['in_flight']:4} in flight"
        f" {row['iops']:10,.0f} {row['simulated']:10,.0f} {row['error']:+7.1%}"
        for row in map(_row, fitted.compared)
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"


def _row(one: Compared) -> dict[str, Any]:
    row = one.row
    return {
        "job": row.name,
        "file": row.file,
        "rw": "randread" if row.random else "read",
        "kib": row.bs_bytes / KIB,
        "in_flight": row.in_flight,
        "iops": row.iops,
        "simulated": one.simulated_iops,
        "error": one.error,
    }


def _median(compared: Sequence[Compared]) -> float:
    return statistics.median(abs(one.error) for one in compared)


def _document(fitted: FittedDevice, judged: Sequence[Compared], left_out: list[str]) -> dict[str, Any]:
    constants = {
        key: {"value": one.value, "unit": one.unit, "spread": one.spread, "source": one.source}
        for key, one in fitted.profile.constants
    }
    return {
        "constants": constants,
        "fitted_to": [_row(one) for one in fitted.compared],
        "judged": [_row(one) for one in judged],
        "notes": list(fitted.notes),
        "left_out": left_out,
    }


def _print(fitted: FittedDevice, judged: Sequence[Compared], more: Sequence[str]) -> None:
    out = console()
    for title, compared in (("fitted to", fitted.compared), ("judged by", judged)):
        if compared:
            print_table(Table(COLUMNS, tuple(map(_row, compared))), out, title)
            worst = max(compared, key=lambda one: abs(one.error))
            line = f"median error {_median(compared):.1%}, the worst {worst.error:+.1%} ({worst.row.name})"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in [*fitted.notes, *more]:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
