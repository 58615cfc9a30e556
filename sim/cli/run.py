"""
readpath run: an experiment file, a fio job file or a fio command line to a run directory.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path

from sim.claims.answers import answers, claims_on
from sim.cli.exits import DONE, FAULT, FOUND
from sim.cli.render import console, print_table, progress
from sim.experiment.estimate import refuse_too_much
from sim.experiment.finished_cells import count_kept
from sim.experiment.fio_experiment import experiment_of, is_job_file
from sim.experiment.notes import notes_of
from sim.experiment.results import Run
from sim.experiment.runner import Progress, default_folder, execute
from sim.experiment.workers import WorkerLostError
from sim.machine.run_cell import run_cell
from sim.report.job_table import job_results
from sim.report.tables import summary, wrong_data
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
) -> int:
    """
    Run the experiment of `file`, with the jobs of the command line `fio` if there is one; print its summary.

    A file whose name ends in .fio is a job file. Returns the exit code.

    figures: draw what the run has; else its figures/ is empty. force: however long it would take.
    Raises ReadpathError for whatever cannot be used.
    """
    from sim.report.figures import draw

    experiment = experiment_of(file, fio, sets)
    at_once = min(jobs or len(os.sched_getaffinity(0)), len(experiment.cells))
    if not force:
        refuse_too_much(experiment, at_once, "less, or --force to run it all the same")
    notes = notes_of(experiment)
    if not quiet:
        for note in notes:
            print(printable(f"readpath: note: {note}"), file=sys.stderr)
    # Before the work: a mistake in the claims is told at once. They are about experiments, not about jobs.
    claims = claims_on(experiment.stem, CLAIMS) if fio is None and not is_job_file(file) else []
    target = output or default_folder(experiment, RUNS)
    taken_up = 0

    def heard(step: Progress) -> None:
        nonlocal taken_up
        if step.what == "kept":
            taken_up = step.done
            if not quiet:
                note = f"{step.done} of {step.total} cells taken up from an interrupted run"
                print(f"readpath: {note}", file=sys.stderr)
        else:
            watch(step)

    try:
        with progress(wanted=not quiet) as watch:
            run = execute(
                experiment,
                target,
                run_cell,
                partial(ensure_image, root=images),
                draw=partial(draw, names=None if figures else [], watch=watch),
                jobs=at_once,
                trace=trace,
                watch=heard,
            )
    except (KeyboardInterrupt, WorkerLostError):
        finished = count_kept(target)
        if finished and not quiet:
            note = f"{finished} finished cells are kept; the same command goes on from there"
            print(f"readpath: {note}", file=sys.stderr)
        raise
    table, jobs_table, wrong = summary(run), job_results(run), wrong_data(run)
    said = answers(run, claims)
    drawn = sorted((target / "figures").iterdir())
    if as_json:
        document = {
            "run": str(target),
            "title": experiment.title,
            "config_hash": experiment.config_hash,
            "seeds": list(experiment.seeds),
            "cells": list(table.rows),
            "wrong_data": [row["cell"] for row in wrong],
            "failed": run.failed,
            "cells_taken_up": taken_up,
            "answers": said,
            "jobs": list(jobs_table.rows),
            "notes": notes,
            "figures": [str(path) for path in drawn],
        }
        print(json.dumps(document, indent=2))
    elif not quiet:
        out = console()
        for line in said:
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        print_table(table, out, experiment.title)
        if 0 < len(jobs_table.rows) <= MOST_JOB_ROWS:
            print_table(jobs_table, out)
        elif jobs_table.rows:
            line = f"jobs    {target / 'jobs.parquet'}, {len(jobs_table.rows)} rows"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        for path in drawn:
            out.print(f"figure  {path}", markup=False, highlight=False, soft_wrap=True)
        out.print(f"run     {target}", markup=False, highlight=False, soft_wrap=True)
    for row in wrong:
        labels = " ".join(row[axis] for axis in run.axes)
        where = f"cell {row['cell']} ({labels}) seed {row['seed']}"
        print(f"readpath: {where}: what was read is not what was written", file=sys.stderr)
    tell_failed(run)
    if any(row["fault"] for row in run.failed):
        return FAULT
    return FOUND if wrong or run.failed else DONE


def tell_failed(run: Run) -> None:
    """Say on standard error which cells could not be run and why; the last line says how many there are."""
    for row in run.failed[:MOST_FAILED_ROWS]:
        where = f"cell {row['cell']} ({row['labels']}) seed {row['seed']}"
        print(printable(f"readpath: {where} could not be run: {row['error']}"), file=sys.stderr)
    if run.failed:
        runs = len(run.failed) + len(run.metrics)
        rest = "the others are kept, without figures"
        line = f"{len(run.failed)} of {runs} could not be run; {rest}: {run.path}"
        print(printable(f"readpath: {line}"), file=sys.stderr)
    if any(row["fault"] for row in run.failed):
        line = f"a fault in readpath, please report it with {run.path / 'run.log.json'}"
        print(printable(f"readpath: {line}"), file=sys.stderr)
