"""
What a notebook or a script needs, in one place: run an experiment, look at it, draw it, check claims on it.

    from sim.api import run, cell, figure
    r = run("device_bound", "volume.files.size=2MiB")
    cell(r, profile="nvme", path="page_io")["cpu_ns_per_4k"]
    figure(r, "device_bound")

Everything is a plain function over what the packages below offer; the command line does the same with more to
choose from. Tables and figures show themselves in a notebook. `import sim` alone loads none of this.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import sim
from sim.claims.claims import load_claims
from sim.claims.verdicts import Cells, Finding, evaluate
from sim.errors import ConfigError
from sim.experiment.estimate import refuse_too_much
from sim.experiment.fio_experiment import experiment_of
from sim.experiment.results import Row, Run, load_run
from sim.experiment.runner import execute, no_figures
from sim.experiment.workers import refuse_if_imported
from sim.machine.run_cell import run_cell
from sim.machine.timeline import Timeline, watch
from sim.report.figures import draw
from sim.report.job_table import job_results
from sim.report.pooling import difference_of_alike
from sim.report.table import Table
from sim.report.tables import select, summary, symbols
from sim.report.timeline import draw_timeline
from sim.shipped import here_or_shipped
from sim.volume.images import ensure_image

__all__ = [
    "Picture",
    "Run",
    "Timeline",
    "cell",
    "check",
    "cpu_difference",
    "cpu_symbols",
    "figure",
    "jobs",
    "load",
    "run",
    "table",
    "timeline",
    "timeline_figure",
]


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as SVG text, a string per page; a notebook shows it."""

    pages: tuple[str, ...]

    def _repr_html_(self) -> str:
        return "\n".join(page[page.index("<svg") :] for page in self.pages)


def run(
    file: str | Path,
    *sets: str,
    to: str | Path | None = None,
    trace: bool = False,
    jobs: int = 1,
    images: str | Path | None = None,
    force: bool = False,
) -> Run:
    """
    Run an experiment, or a fio job file, and return the run directory, read.

    file: a path, or the name of an experiment in experiments/, here or of those that come with readpath.

    sets: "volume.files.size=1MiB" and the like, as --set takes them. to: where the run goes; None: a folder
    that is gone when the program ends. trace: keep every bio and read(2). jobs: worker processes; 1: none.
    images: where the ext4 images made are kept; None: with the run. force: however long it would
    take.

    A cell that cannot be run is a row of `failed`. Draws no figures: see `figure`. Raises ReadpathError for
    whatever cannot be used.
    """
    refuse_if_imported(jobs)
    experiment = experiment_of(Path(file), None, sets)
    if not force:
        refuse_too_much(experiment, jobs, "less, or force=True to run it all the same")
    scratch: Path | None = None
    if to is None or images is None:
        scratch = Path(tempfile.mkdtemp(prefix="readpath."))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    target = Path(to) if to is not None else _inside(scratch, experiment.stem)
    root = Path(images) if images is not None else _inside(scratch, "images")
    make = partial(ensure_image, root=root)
    return execute(experiment, target, run_cell, make, draw=no_figures, jobs=jobs, trace=trace)


def _inside(folder: Path | None, name: str) -> Path:
    assert folder is not None
    return folder / name


def load(folder: str | Path) -> Run:
    """Return a run directory that `readpath run` or `run` made. Raises ConfigError if it is none."""
    return load_run(Path(folder))


def cell(of: Run, **labels: str) -> Row:
    """
    Return the metrics of one cell, means over its seeds: `cell(r, path="page_io", block_size="4KiB")`.

    labels: axis = label; an axis by the last word of its key. Metrics and their units: METRICS of
    sim.config.cell_result. Raises ConfigError if the labels name no cell, or more than one.
    """
    rows = select(of, labels)
    numbers = {row["cell"] for row in rows}
    if len(numbers) != 1:
        raise ConfigError(
            str(of.path), f"{len(numbers)} cells are {labels}", f"a label for {', '.join(of.axes)}"
        )
    first = rows[0]
    return {
        name: fmean(row[name] for row in rows) if isinstance(value, int | float) and len(rows) > 1 else value
        for name, value in first.items()
    }


def table(of: Run) -> Table:
    """Return a row per cell, as `readpath run` prints it."""
    return summary(of)


def jobs(of: Run) -> Table:
    """Return what each fio job came to: a row a clone, and a row a group that is reported as one."""
    return job_results(of)


def cpu_symbols(of: Run, stacks: bool = False, **labels: str) -> Table:
    """Return where the CPU time of the cells with these labels went, by kernel symbol, as `readpath show`."""
    return symbols(of, labels, stacks)


def cpu_difference(of: Run, first: dict[str, str], second: dict[str, str], **labels: str) -> Table:
    """
    Return by symbol what cells of `first` cost more than those of `second`, in ns per 4 KiB read.

    Raises ConfigError where a side would pool cells that are not alike.
    """
    return difference_of_alike(of, labels, first, second)


def check(of: Run, claims: str | Path = "experiments/claims") -> list[Finding]:
    """
    Return what a run says about the claims on its experiment in a folder of claims; no baseline.

    claims: where it is not there, and is a path as the default, what comes with readpath is meant.

    Raises ConfigError for a folder without claims on it.
    """
    stem, found = str(of.manifest["experiment"]), load_claims(here_or_shipped(Path(claims)))
    if stem not in found:
        raise ConfigError(str(claims), f"has no claims on {stem!r}", ", ".join(found))
    cells = Cells(of)
    return [evaluate(claim, cells) for claim in found[stem]]


def figure(of: Run, name: str) -> Picture:
    """Return one of a run's figures (sim.report.figures). Raises ConfigError if the run has it not."""
    with tempfile.TemporaryDirectory(prefix="readpath.") as folder:
        return _picture(draw(of, Path(folder), ["svg"], [name]))


def timeline(path: str, layout: str = "contiguous", **options: Any) -> Timeline:
    """
    Return one read window on one path, watched: layout "contiguous" or "1-block extents".

    options: block_size in bytes, pages, latency_ns, machine: see sim.machine.timeline.watch.
    """
    return watch(path, layout, **options)


def timeline_figure(blocks: Sequence[Sequence[Timeline]], about: str = "") -> Picture:
    """Return timelines drawn side by side: a block of lanes per element, in it a row per path."""
    with tempfile.TemporaryDirectory(prefix="readpath.") as folder:
        note = f"timeline   no random numbers   readpath {sim.__version__}"
        return _picture(draw_timeline(blocks, about, note, Path(folder), ["svg"]))


def _picture(files: Sequence[Path]) -> Picture:
    return Picture(tuple(path.read_text(encoding="utf-8") for path in files))
