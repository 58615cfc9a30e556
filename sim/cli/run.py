"""
readpath run: an experiment file, a fio job file or a fio command line to a run directory.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from sim.claims.answers import answers, claims_on
from sim.claims.claims import Claim
from sim.cli.exits import DONE, FAULT, FOUND
from sim.cli.render import console, print_table, progress
from sim.config.cell import Experiment
from sim.experiment.estimate import is_soon_done, refuse_too_much
from sim.experiment.finished_cells import count_kept
from sim.experiment.fio_experiment import experiment_of, is_job_file
from sim.experiment.notes import notes_of
from sim.experiment.results import Run
from sim.experiment.runner import Draw, Elsewhere, Progress, Watcher, default_folder, execute, no_figures
from sim.experiment.workers import WorkerLostError
from sim.machine.run_cell import run_cell
from sim.report.job_table import job_results
from sim.report.tables import summary, wrong_data
from sim.shipped import claims_folder, experiment_file
from sim.text import printable
from sim.volume.images import ensure_image

RUNS, CLAIMS = Path("results/runs"), Path("experiments/claims")

MOST_FAILED_ROWS = 20
MOST_JOB_ROWS = 20
"""A terminal shows what each job came to up to so many rows; jobs.parquet has them all."""


def run_experiment(
    file: Path | None,
    fio: str | None,
    sets: list[str],
    output: Path | None,
    jobs: int,
    images: Path,
    trace: bool,
    figures: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
    scheduler: str = "",
) -> int:
    """
    Run the experiment of `file`, with the jobs of the command line `fio` if there is one; print its summary.

    file: an experiment file, the name of one in experiments/, or a job file (.fio). Returns the exit code.

    figures: draw what the run has; else its figures/ is empty. force: however long it would take.
    scheduler: the address of a Dask scheduler whose workers run the cells, or "local"; "": processes here.
    Raises ReadpathError for whatever cannot be used.
    """
    experiment = experiment_of(file, fio, sets)
    at_once = min(jobs or _processes(experiment, scheduler), len(experiment.cells))
    if not force:
        refuse_too_much(experiment, at_once, "less, or --force to run it all the same")
    notes = notes_of(experiment)
    for note in [] if quiet else notes:
        print(printable(f"readpath: note: {note}"), file=sys.stderr)
    claims = _claims(file, fio, experiment)  # before the work: a mistake in them is told at once
    target = output or default_folder(experiment, RUNS)
    heard = _Heard(quiet)
    try:
        with progress(wanted=not quiet) as watch, _elsewhere(scheduler, at_once) as elsewhere:
            heard.watch = watch
            run = execute(
                experiment,
                target,
                run_cell,
                partial(ensure_image, root=images),
                draw=_drawing(watch) if figures else no_figures,
                jobs=at_once,
                trace=trace,
                watch=heard,
                elsewhere=elsewhere,
            )
    except (KeyboardInterrupt, WorkerLostError):
        if not quiet:
            _say_what_is_kept(target, len(experiment.cells))
        raise
    said = answers(run, claims)
    if as_json:
        _print_json(experiment, run, heard.taken_up, said, notes)
    elif not quiet:
        _print_tables(experiment, run, said)
    return _told(run)


def _processes(experiment: Experiment, scheduler: str) -> int:
    """Return how many processes there are unless --jobs says it: one for what is soon done, or one a core."""
    return 1 if not scheduler and is_soon_done(experiment) else len(os.sched_getaffinity(0))


def _drawing(watch: Watcher) -> Draw:
    """Return what draws all figures of a run; only who draws waits for matplotlib."""
    from sim.report.figures import draw

    return partial(draw, watch=watch)


def _told(run: Run) -> int:
    """Say on standard error what is wrong with a run; return the exit code."""
    _tell_wrong(run)
    tell_failed(run)
    if any(row["fault"] for row in run.failed):
        return FAULT
    return FOUND if wrong_data(run) or run.failed else DONE


def _elsewhere(scheduler: str, jobs: int) -> AbstractContextManager[Elsewhere | None]:
    """Return what runs cells on a cluster; None where they run here."""
    if not scheduler:
        return nullcontext()
    from sim.experiment.cluster import cluster

    return cluster(scheduler, jobs)


def _claims(file: Path | None, fio: str | None, experiment: Experiment) -> list[Claim]:
    """Return the claims on an experiment; there are none on jobs."""
    if file is None or fio is not None or is_job_file(file):
        return []
    return claims_on(experiment.stem, claims_folder(experiment_file(file), CLAIMS))


def _tell_wrong(run: Run) -> None:
    for row in wrong_data(run):
        labels = " ".join(row[axis] for axis in run.axes)
        where = f"cell {row['cell']} ({labels}) seed {row['seed']}"
        print(f"readpath: {where}: what was read is not what was written", file=sys.stderr)


def tell_failed(run: Run) -> None:
    """Say on standard error which cells could not be run and why; the last line says how many there are."""
    for row in run.failed[:MOST_FAILED_ROWS]:
        where = f"cell {row['cell']} ({row['labels']}) seed {row['seed']}"
        print(printable(f"readpath: {where} could not be run: {row['error']}"), file=sys.stderr)
    if run.failed:
        runs = len(run.failed) + len(run.metrics)
        rest = "the others are kept, without figures; the same command tries only those again"
        line = f"{len(run.failed)} of {runs} could not be run; {rest}: {run.path}"
        print(printable(f"readpath: {line}"), file=sys.stderr)
    if any(row["fault"] for row in run.failed):
        line = f"a fault in readpath, please report it with {run.path / 'run.log.json'}"
        print(printable(f"readpath: {line}"), file=sys.stderr)


def _say_what_is_kept(target: Path, cells: int) -> None:
    """Tell, after Ctrl-C or a lost worker, how many of the cells of an unfinished run are kept."""
    finished = count_kept(target)
    goes_on = "the same command goes on from there" if finished else "the same command begins anew"
    note = f"{finished} of {cells} cells are finished and kept; {goes_on}"
    print(f"readpath: {note}", file=sys.stderr)


class _Heard:
    """What a run tells: cells taken up from an interrupted one in a line, the rest goes to `watch`."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.watch: Watcher = lambda _progress: None
        self.taken_up = 0

    def __call__(self, step: Progress) -> None:
        """Hear of a step."""
        if step.what != "kept":
            self.watch(step)
            return
        self.taken_up = step.done
        if not self._quiet:
            note = f"{step.done} of {step.total} cells taken up from an interrupted run"
            print(f"readpath: {note}", file=sys.stderr)


def _drawn(run: Run) -> list[Path]:
    return sorted((run.path / "figures").iterdir())


def _print_json(
    experiment: Experiment, run: Run, taken_up: int, said: Sequence[str], notes: Sequence[str]
) -> None:
    document = {
        "run": str(run.path),
        "title": experiment.title,
        "config_hash": experiment.config_hash,
        "seeds": list(experiment.seeds),
        "cells": list(summary(run).rows),
        "wrong_data": [row["cell"] for row in wrong_data(run)],
        "failed": run.failed,
        "cells_taken_up": taken_up,
        "answers": said,
        "jobs": list(job_results(run).rows),
        "notes": notes,
        "figures": [str(path) for path in _drawn(run)],
    }
    print(json.dumps(document, indent=2))


def _print_tables(experiment: Experiment, run: Run, said: Sequence[str]) -> None:
    out, jobs_table = console(), job_results(run)
    for line in said:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    print_table(summary(run), out, experiment.title)
    if 0 < len(jobs_table.rows) <= MOST_JOB_ROWS:
        print_table(jobs_table, out)
    elif jobs_table.rows:
        line = f"jobs    {run.path / 'jobs.parquet'}, {len(jobs_table.rows)} rows"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    for path in _drawn(run):
        out.print(f"figure  {path}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"run     {run.path}", markup=False, highlight=False, soft_wrap=True)
